"""A row's place in a sentence encoder's space."""

from __future__ import annotations

from dataclasses import dataclass, fields
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
from thresher.errors import FieldError, NonFinite, PoolError
from thresher.models import encoder
from thresher.models.device import choose_device, choose_dtype
from thresher.models.hidden import Pooling
from thresher.signals._texts import Text, texts
from thresher.signals._tuned_encoder import EncoderTuning, TunedEncoder, weights_in


@dataclass(frozen=True, kw_only=True)
class Embed(Signal):
    """The encoder's token states, averaged without padding, of length one.

        x_i = sum_u h_iu / s_i        x_i / |x_i|        u: the row's tokens, the encoder's special ones included

    With `tuning.on = "target"` the encoder is first trained for a few epochs on the target's texts.

    Source:  Yin & Rush 2025, arXiv:2410.16208; Ivison et al. 2025, arXiv:2503.01807; tuned: Kang et al. 2024,
             arXiv:2405.02774.
    Differs: padding is averaged only where `pooling = "padded"` asks for it, over the whole window; pooling and window
             are those of the encoder's makers unless set. How Kang et al. tuned is not published; ours is a contrast of
             two pieces of a text.
    Cost:    one pass of the encoder over the pool; its tuning is billed as its own signal, E T(N_e, pieces of D_q).
    """

    encoder: Annotated[str, "sentence-transformers or other encoder; there is no silent default"]
    text: Annotated[Text, "what of a row is read"] = "row"
    prefix: Annotated[str, "an instruction put before every text"] = ""
    max_characters: Annotated[int | None, "texts are cut to so many characters before they become tokens"] = None
    max_tokens: Annotated[int | None, "and to so many tokens; None is the encoder's own window"] = None
    pooling: Annotated[
        Literal["auto", "mean", "cls", "last", "weighted", "padded"], "how states become one vector"
    ] = "auto"
    dense: Annotated[bool, "apply the layers that the encoder's folder has after pooling"] = True
    normalise: Annotated[bool, "to length one"] = True
    dtype: Annotated[Literal["auto", "float32", "bfloat16", "float16"], "of the pass"] = "auto"
    tuning: Annotated[EncoderTuning, "training of the encoder before it reads; charged"] = EncoderTuning()

    kind: ClassVar[Kind] = "feature"
    inner_over: ClassVar[Literal["pool", "target"]] = "target"
    work: ClassVar[str] = "forward"

    def __post_init__(self) -> None:
        """Look at the fields.

        Raises:
            FieldError: fields of a training are set that will not happen.
        """
        if self.tuning.on == "none" and self.tuning != EncoderTuning():
            given = [one.name for one in fields(EncoderTuning) if getattr(self.tuning, one.name) != one.default]
            raise FieldError(
                f"embed: {', '.join(f'tuning.{name}' for name in given)} would change nothing, for tuning.on is none. "
                "Add tuning.on=target, or leave them out."
            )

    @property
    def needs_target(self) -> bool:  # type: ignore[override]
        """Only an encoder that is tuned on the target needs one."""
        return self.tuning.on == "target"

    def inner(self) -> TunedEncoder | None:
        """The encoder's training; None where it reads as it is."""
        if self.tuning.on == "none":
            return None
        return TunedEncoder(
            encoder=self.encoder, text=self.text, prefix=self.prefix, max_characters=self.max_characters,
            max_tokens=self._window(), pooling=self._pooling(), tuning=self.tuning,
        )  # fmt: skip

    def identity(self) -> dict[str, str]:
        """The weights, and what "auto" comes to."""
        return {
            "encoder": encoder.encoder_hash(self.encoder),
            "pooling": self._pooling(),
            "max_tokens": str(self._window()),
            "dtype": choose_dtype(self.dtype, choose_device("auto"), encoder.architecture(self.encoder)),
        }

    def sizes(self, pool: Pool, target: Pool | None) -> Load:
        """Real tokens under the encoder's tokenizer, or the window where it is filled."""
        s = self._tokens(pool).lengths().astype(np.float64)
        s = np.full_like(s, self._window()) if self._pooling() == "padded" else s
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
        """What is decided, how much of the pool the window cuts off, and the tuned weights.

        Raises:
            PoolError: the encoder is to be tuned on a target and there is none.
        """
        state = {"window": self._window(), "truncated": self.truncated(pool)}
        training = self.inner()
        if training is None:
            return state
        if target is None:
            raise PoolError("this encoder is tuned on the target, and there is none. Name one with --target.")
        about = training.apply(target, folder)
        return state | {"tuned_on": "target", "tuning": about, "weights": weights_in(folder)}

    def account(self, state: dict[str, Any]) -> dict[str, Any]:
        """Window, share of rows that were cut, pooling, precision, and how the tuning went."""
        made = self.identity()
        said = {name: value for name, value in state.items() if name != "weights"}
        return {**said, "pooling": made["pooling"], "dtype": made["dtype"]}

    def measure(self, state: dict[str, Any], rows: Pool) -> Float32[np.ndarray, "b d"]:
        """(b, d) the rows' vectors."""
        opened = encoder.open_encoder(self.encoder, dtype=self.dtype, weights=state.get("weights"))
        pooling = self._pooling()
        fill = self._window() if pooling == "padded" else None
        out = opened.encode(self._tokens(rows), pooling, dense=self.dense, fill=fill)
        return unit(out, rows) if self.normalise else out

    def measure_over(
        self, state: dict[str, Any], rows: Pool, values: np.ndarray
    ) -> Float32[np.ndarray, "b d"]:
        """The same: what the encoder was trained on does not matter."""
        return self.measure(state, rows)

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
