"""A row's place in a sentence encoder's space."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float32

from thresher.compute import flops
from thresher.core.cost import Cost, Load
from thresher.core.method import Kind, Signal
from thresher.core.pool import Pool
from thresher.data.chat import Encoded
from thresher.errors import NonFinite
from thresher.models import encoder
from thresher.models.device import choose_device, choose_dtype
from thresher.models.hidden import Pooling
from thresher.signals._texts import Text, texts


@dataclass(frozen=True, kw_only=True)
class Embed(Signal):
    """The encoder's token states, averaged without padding, of length one.

        x_i = sum_u h_iu / s_i        x_i / |x_i|        u: the row's tokens, the encoder's special ones included

    Source:  Yin & Rush 2025, arXiv:2410.16208; Ivison et al. 2025, arXiv:2503.01807.
    Differs: padding is never averaged; pooling and window are those of the encoder's makers unless set.
    Cost:    one pass of the encoder over the pool.
    """

    encoder: Annotated[str, "sentence-transformers or other encoder; there is no silent default"]
    text: Annotated[Text, "what of a row is read"] = "row"
    prefix: Annotated[str, "an instruction put before every text"] = ""
    max_characters: Annotated[int | None, "texts are cut to so many characters before they become tokens"] = None
    max_tokens: Annotated[int | None, "and to so many tokens; None is the encoder's own window"] = None
    pooling: Annotated[Literal["auto", "mean", "cls", "last", "weighted"], "how states become one vector"] = "auto"
    dense: Annotated[bool, "apply the layers that the encoder's folder has after pooling"] = True
    normalise: Annotated[bool, "to length one"] = True
    dtype: Annotated[Literal["auto", "float32", "bfloat16", "float16"], "of the pass"] = "auto"

    kind: ClassVar[Kind] = "feature"
    work: ClassVar[str] = "forward"

    def identity(self) -> dict[str, str]:
        """The weights, and what "auto" comes to."""
        return {
            "encoder": encoder.encoder_hash(self.encoder),
            "pooling": self._pooling(),
            "max_tokens": str(self._window()),
            "dtype": choose_dtype(self.dtype, choose_device("auto"), encoder.architecture(self.encoder)),
        }

    def sizes(self, pool: Pool, target: Pool | None) -> Load:
        """Real tokens under the encoder's tokenizer."""
        s = self._tokens(pool).lengths().astype(np.float64)
        width = encoder.architecture(self.encoder).width
        q = len(target) if target is not None else 0
        return Load(n=len(pool), tokens=int(s.sum()), square=float((s**2).sum()), d=width, q=q)

    def cost(self, load: Load) -> Cost:
        """A pass without an output head."""
        return Cost(flops=flops.embed(encoder.architecture(self.encoder), load.tokens, load.square))

    def usable(self, pool: Pool) -> np.ndarray | None:
        """(n,) rows of which the encoder sees a token; its special tokens count, so usually every row."""
        seen = self._tokens(pool).lengths() > 0
        return None if seen.all() else seen

    def truncated(self, rows: Pool) -> float:
        """Share of the rows that are longer than the window."""
        return float((self._tokens(rows).cut > 0).mean())

    def prepare(self, pool: Pool, target: Pool | None, folder: Path) -> dict[str, Any]:
        """What is decided, and how much of the pool the window cuts off."""
        return {"window": self._window(), "truncated": self.truncated(pool)}

    def account(self, state: dict[str, Any]) -> dict[str, Any]:
        """Window, share of rows that were cut, pooling, precision."""
        made = self.identity()
        return {**state, "pooling": made["pooling"], "dtype": made["dtype"]}

    def measure(self, state: dict[str, Any], rows: Pool) -> Float32[np.ndarray, "b d"]:
        """(b, d) the rows' vectors."""
        opened = encoder.open_encoder(self.encoder, dtype=self.dtype)
        out = opened.encode(self._tokens(rows), self._pooling(), dense=self.dense)
        return unit(out, rows) if self.normalise else out

    def _pooling(self) -> Pooling:
        return encoder.pooling_of(self.encoder) if self.pooling == "auto" else self.pooling

    def _window(self) -> int:
        return self.max_tokens or encoder.window(self.encoder)

    def _tokens(self, rows: Pool) -> Encoded:
        return _tokens(_Rows(rows), self.encoder, self.text, self.prefix, self.max_characters, self._window())


class _Rows:
    """A pool that a cache knows by its fingerprint."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Rows) and other.pool.fingerprint == self.pool.fingerprint

    def __hash__(self) -> int:
        return hash(self.pool.fingerprint)


@lru_cache(maxsize=4)
def _tokens(rows: _Rows, path: str, text: Text, prefix: str, max_characters: int | None, window: int) -> Encoded:
    words = [prefix + words[:max_characters] for words in texts(rows.pool, text)]
    return encoder.tokenise(path, words, window)


def unit(vectors: Float32[np.ndarray, "b d"], rows: Pool) -> Float32[np.ndarray, "b d"]:
    """Each of length one.

    Raises:
        NonFinite: a vector that is not a number, or zero.
    """
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(length[:, 0]) | (length[:, 0] == 0))
    if bad.size:
        raise NonFinite(
            f"the encoder gave no usable vector for {bad.size} of {len(rows)} rows, first ids "
            f"{rows.take(bad[:5]).ids()}. Look at these rows and the encoder; with half precision try dtype = float32. "
            "Nothing was written for them."
        )
    return vectors / length
