"""What signals that read rows with a language model, trained first or not, have in common."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from thresher.core.pool import Pool
from thresher.models import load
from thresher.models.device import choose_device, choose_dtype
from thresher.signals._reading import Reading
from thresher.signals._tuning import Tuning


@dataclass(frozen=True, kw_only=True)
class Tuned(Reading):
    """A model, a window, what the model is trained on first, and the precision it reads in."""

    tuning: Annotated[Tuning, "training of the model before it reads; charged"] = Tuning()
    dtype: Annotated[Literal["auto", "float32", "bfloat16"], "of the forward pass"] = "auto"

    work: ClassVar[str] = "forward"

    def identity(self) -> dict[str, str]:
        """The weights, and the precision that "auto" comes to here."""
        device = choose_device("auto")
        return super().identity() | {"dtype": choose_dtype(self.dtype, device, load.architecture(self.model))}

    def account(self, state: str) -> dict[str, Any]:
        """Also what the model was tuned on."""
        return {**super().account(state), "tuned_on": self.tuning.resolved(self.model)}

    @property
    def needs_target(self) -> bool:  # type: ignore[override]
        """Only a model that is tuned on the target needs one."""
        return self.tuning.on == "target"

    def prepare(self, pool: Pool, target: Pool | None, folder: Path) -> str:
        """The path of the model: as it is, or tuned once and kept in the signal's own folder."""
        return self.tuning.apply(self.model, pool, target, folder / "scorer")
