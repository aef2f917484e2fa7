"""The training of an encoder on the target before it reads: done once, shared by every signal that reads with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from jaxtyping import Int

from thresher.compute import meter
from thresher.core.cost import Cost, Load
from thresher.core.method import Kind, Signal
from thresher.core.pool import Pool
from thresher.data.chat import Encoded
from thresher.errors import PoolError
from thresher.models import encoder
from thresher.models.hidden import Pooling
from thresher.signals._texts import Text, texts
from thresher.training.contrast import ABOUT, WEIGHTS, Contrast, tune

PLACE = "encoder"  # in the signal's own folder


@dataclass(frozen=True, kw_only=True)
class EncoderTuning(Contrast):
    """Whether an encoder is first trained on the target's texts, and how."""

    on: Annotated[Literal["none", "target"], "texts that the encoder is trained on before it reads; charged"] = "none"


@dataclass(frozen=True, kw_only=True)
class TunedEncoder(Signal):
    """1 for the rows that an encoder was trained on, 0 for rows without a word; the encoder is in the own folder.

    It is measured over the target, and serves any number of pools.

    Source:  Kang et al. 2024, arXiv:2405.02774, who tune their encoder on the target for a few epochs; how is not
             published.
    Differs: what is learnt is to tell the target's texts apart by their pieces; see `training.contrast`.
    Cost:    E T(N_e, twice the pieces of the target's texts).
    """

    encoder: str
    text: Text = "row"
    prefix: str = ""
    max_characters: int | None = None
    max_tokens: int
    pooling: Pooling
    tuning: EncoderTuning = EncoderTuning(on="target")

    kind: ClassVar[Kind] = "label"
    work: ClassVar[str] = "train"

    def identity(self) -> dict[str, str]:
        """The weights it starts from."""
        return {"encoder": encoder.encoder_hash(self.encoder)}

    def sizes(self, pool: Pool, target: Pool | None) -> Load:
        """Tokens of one piece of each text."""
        lengths = self._tokens(pool).lengths()
        s = self.tuning.lengths(lengths, sum(encoder.around(self.encoder))).astype(np.float64)
        return Load(n=len(s), tokens=int(s.sum()), square=float((s**2).sum()))

    def cost(self, load: Load) -> Cost:
        """Two pieces of each text, every epoch."""
        return Cost(flops=self.tuning.flops(self.encoder, load.tokens, load.square))

    def prepare(self, pool: Pool, target: Pool | None, folder: Path) -> str:
        """The folder of the tuned weights; what they cost is on the meter also where they were there."""
        done = (folder / PLACE / ABOUT).exists()
        about = self.apply(pool, folder)
        if done:
            meter.count(flops=about["flops"])
        return str(folder / PLACE)

    def apply(self, target: Pool, folder: Path) -> dict[str, Any]:
        """Train, unless it was done, and say what was done.

        Raises:
            PoolError: there are no two texts to tell apart.
        """
        tokens = self._tokens(target)
        if len(tokens) < 2:
            raise PoolError(
                f"an encoder tuned on the target learns to tell its texts apart, and {target.name} has {len(tokens)} "
                "with a word in it. Give more target rows, or set tuning.on=none."
            )
        return tune(self.encoder, tokens, self.pooling, self.tuning, folder / PLACE)

    def measure(self, state: str, rows: Pool) -> Int[np.ndarray, " b"]:
        """(b,) whether a row was trained on, itself or a copy."""
        tokens = encoder.tokenise(self.encoder, self._words(rows), self.max_tokens)
        return (tokens.lengths() > sum(encoder.around(self.encoder))).astype(np.int64)

    def _tokens(self, rows: Pool) -> Encoded:
        """Each text once, in an order of their own: the file's does not matter."""
        tokens = encoder.tokenise(self.encoder, sorted(set(self._words(rows))), self.max_tokens)
        return tokens.take(np.flatnonzero(tokens.lengths() > sum(encoder.around(self.encoder))))

    def _words(self, rows: Pool) -> list[str]:
        return [self.prefix + text[: self.max_characters] for text in texts(rows, self.text)]


def weights_in(folder: Path) -> str:
    """The file of tuned weights in a signal's own folder."""
    return str(folder / PLACE / WEIGHTS)
