"""A warm-up run's checkpoints: adapters and the optimiser's moments, each under its parameter's name."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from thresher.errors import ModelError
from thresher.models import load as models
from thresher.models.device import choose_device
from thresher.models.fresh import fresh_model
from thresher.training.recipe import Lora, Recipe

RECORD = "run.json"  # the last file a finished run writes
MOMENTS = ("exp_avg", "exp_avg_sq")  # as AdamW calls them


@dataclass(frozen=True)
class Run:
    """A finished warm-up; small, and it pickles."""

    folder: str  # holds 1/, 2/, ... one for each epoch
    base: str  # the model under the adapters
    base_hash: str
    lora: dict[str, Any]
    rates: tuple[float, ...]  # mean learning rate of each epoch's steps
    rows: tuple[str, ...]  # ids of the rows it was trained on
    steps: int
    seed: int
    flops: float

    @staticmethod
    def done(folder: Path) -> bool:
        """Whether a run is whole."""
        return (folder / RECORD).exists()

    @staticmethod
    def sign(folder: str) -> str:
        """Of what a run holds."""
        marks = [path.read_bytes() for path in sorted(Path(folder).glob("**/*.json"))]
        sizes = [str(path.stat().st_size).encode() for path in sorted(Path(folder).glob("**/*.safetensors"))]
        return hashlib.sha256(b"\0".join([*marks, *sizes])).hexdigest()

    @classmethod
    def read(cls, folder: Path) -> Run:
        """A run that was left in a folder.

        Raises:
            ModelError: there is none.
        """
        try:
            record = json.loads((folder / RECORD).read_text())
        except FileNotFoundError:
            raise ModelError(
                f"{folder} holds no finished warm-up (no {RECORD}). Leave `run` empty to make one, or name the folder "
                "`epochs-...` that one left."
            ) from None
        lists = {name: tuple(record[name]) for name in ("rates", "rows")}
        return cls(**{**record, **lists, "folder": str(folder)})

    def on(self, base: str) -> Run:
        """The same run on this copy of its base model.

        Raises:
            ModelError: it is another model than the one the run was made on.
        """
        if models.weights_hash(base) != self.base_hash:
            raise ModelError(
                f"the warm-up in {self.folder} was run on {self.base}, whose weights are not those of {base}. "
                "Name that model as the scorer, or leave `run` empty to warm this one up."
            )
        return replace(self, base=base)

    def signed(self, what: str) -> str:
        """A name for something that was computed from this run."""
        about = repr((self.base_hash, self.lora, self.rates, self.rows, self.seed, what))
        return hashlib.sha256(about.encode()).hexdigest()[:24]

    def weights(self, numbers: tuple[int, ...]) -> list[float]:
        """The share of each of these checkpoints: its epoch's mean learning rate, over their sum."""
        rates = [self.rates[number] for number in numbers]
        return [rate / sum(rates) if sum(rates) > 0 else 1 / len(rates) for rate in rates]

    def adapters(self, number: int) -> dict[str, torch.Tensor]:
        """Parameter name -> values after epoch `number`, from 0."""
        return load_file(Path(self.folder) / str(number + 1) / "adapters.safetensors")

    def moments(self, number: int, names: list[str], device: str = "cpu") -> tuple[torch.Tensor, torch.Tensor]:
        """(p,) first and second moments of these parameters, flattened in their order.

        Raises:
            ModelError: the checkpoint has none, or not of all of them.
        """
        path = Path(self.folder) / str(number + 1) / "moments.safetensors"
        saved = load_file(path) if path.exists() else {}
        missing = [name for name in names if any(f"{moment}.{name}" not in saved for moment in MOMENTS)]
        if missing:
            raise ModelError(
                f"checkpoint {path.parent} has no optimiser state for {len(missing)} of {len(names)} parameters "
                f"(first: {missing[0]}), and rows cannot be shaped by Adam without. Warm up again, or take less:sgd, "
                "which needs no moments."
            )
        first, second = (torch.cat([saved[f"{m}.{name}"].flatten() for name in names]).to(device) for m in MOMENTS)
        return first, second

    def network(self, number: int, *, device: str = "auto", dtype: str = "float32") -> torch.nn.Module:
        """The model with the adapters of one epoch, for gradients: dropout off; one stays open."""
        network = _network(self.base, json.dumps(self.lora), choose_device(device), dtype)
        own = dict(network.named_parameters())
        with torch.no_grad():
            for name, values in self.adapters(number).items():
                own[name].copy_(values)
        return network

    def about(self) -> dict[str, Any]:
        """For the card."""
        known = ("base_hash", "lora", "rates", "steps", "seed", "flops")
        return {"rows": len(self.rows), **{name: getattr(self, name) for name in known}}


_open: dict[tuple[str, ...], torch.nn.Module] = {}


def _network(base: str, lora: str, device: str, dtype: str) -> torch.nn.Module:
    key = (base, models.weights_hash(base), lora, device, dtype)
    if key not in _open:
        _open.clear()
        from thresher.training.sft import with_adapters  # loads the Trainer

        network = with_adapters(fresh_model(base, dtype=dtype), Recipe(lora=_lora(json.loads(lora))))
        _open[key] = network.to(device).eval()
    return _open[key]


def _lora(values: dict[str, Any]) -> Lora:
    return Lora(**{**values, "targets": tuple(values["targets"]), "dropout": 0.0})
