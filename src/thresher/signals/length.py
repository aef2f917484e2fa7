"""How long the answer is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np

from thresher.core.cost import Cost, Load
from thresher.core.method import Kind, Signal
from thresher.core.pool import Pool
from thresher.models import load
from thresher.models.fresh import tokenizer_hash


@dataclass(frozen=True, kw_only=True)
class Length(Signal):
    """Answer (or row) tokens under the trained model's tokenizer; words where no model is named.

        length_i = a_i    or    s_i

    Source:  Zhao et al. 2024, "Long Is More for Alignment", arXiv:2402.04833.
    Differs: the paper counts the tokens of one tokenizer before templates; we count those that are trained on.
    Cost:    none.
    """

    model: Annotated[str, "whose tokenizer counts; empty counts words between blanks"] = ""
    of: Annotated[Literal["answer", "row"], "which tokens"] = "answer"
    max_tokens: Annotated[int, "rows are cut on the right to this length"] = 2048
    whole: Annotated[bool, "leave rows out that are longer"] = False

    kind: ClassVar[Kind] = "score"

    def identity(self) -> dict[str, str]:
        """The tokenizer, not the name it goes by."""
        return {"model": tokenizer_hash(self.model) if self.model else ""}

    def cost(self, load: Load) -> Cost:
        """Tokens are counted for every method anyway."""
        return Cost()

    def usable(self, pool: Pool) -> np.ndarray | None:
        """(n,) rows that fit the window, where only those are wanted."""
        return load.counted(self.model, pool, self.max_tokens).cut == 0 if self.whole and self.model else None

    def measure(self, state: None, rows: Pool) -> np.ndarray:
        """(b,) tokens, or words."""
        if not self.model:
            texts = rows.answer() if self.of == "answer" else rows.text()
            return np.array([len(text.split()) for text in texts], dtype=np.float64)
        encoded = load.encoded(self.model, rows, self.max_tokens)
        return (encoded.answer_tokens() if self.of == "answer" else encoded.lengths()).astype(np.float64)
