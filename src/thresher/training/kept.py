"""What an interrupted training left: its last whole checkpoint; and whether a finished one is whole."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from thresher.core import checksum
from thresher.core.cost import Receipt
from thresher.core.store import write_bytes
from thresher.training.origin import DONE
from thresher.training.trainer import TrainerCallback

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments

LAST = "trainer_state.json"  # of what the Trainer writes of a checkpoint
SUMS = "thresher-sums.json"  # of a checkpoint's files
log = logging.getLogger(__name__)


class Summed(TrainerCallback):
    """Leaves checksums in every checkpoint."""

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """After the checkpoint was written."""
        if state.is_world_process_zero:
            folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
            files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
            sums = {str(path.relative_to(folder)): checksum.of_file(path) for path in files}
            write_bytes(folder / SUMS, json.dumps(checksum.signed(sums)).encode())


def latest(folder: Path) -> str | None:
    """The last whole checkpoint; a damaged one is named and taken away.

    One without checksums, of a training that was killed before they were written, is taken if its last file is whole.
    """
    written = [path for path in folder.glob("checkpoint-*") if (path / LAST).exists()]
    for path in sorted(written, key=lambda path: int(path.name.split("-")[1]), reverse=True):
        fault = _fault_of(path)
        if fault is None:
            return str(path)
        log.warning("%s is damaged (%s): training goes on from an earlier one, or begins anew", path, fault)
        shutil.rmtree(path, ignore_errors=True)
    return None


def _fault_of(folder: Path) -> str | None:
    try:
        if not (folder / SUMS).exists():
            json.loads((folder / LAST).read_text(encoding="utf-8"))
            return None
        sums = json.loads((folder / SUMS).read_text(encoding="utf-8"))
        if not checksum.fits(sums):
            return f"the checksum of {SUMS} is another"
        wrong = [
            name for name, wanted in sums.items()
            if name != checksum.FIELD and checksum.of_file(folder / name) != wanted
        ]  # fmt: skip
    except (OSError, ValueError, TypeError, AttributeError) as error:
        return str(error)
    return f"the checksum of {wrong[0]} is another" if wrong else None


def finished(out: Path) -> Receipt | None:
    """What a finished training cost; None where there is none, or where that cannot be read any more."""
    if not (out / DONE).exists():
        return None
    try:
        return Receipt.from_dict(json.loads((out / DONE).read_text(encoding="utf-8"))["receipt"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("%s is damaged (%s): the model is trained again", out / DONE, error)
        return None
