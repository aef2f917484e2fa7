"""BERTScore by the library bert-score, with any encoder that is on this machine.

F1 of greedy matches between the two texts' token states (Zhang et al., ICLR 2020, arXiv:1904.09675). Raw values of
different encoders do not compare, and lie close to 1; `baseline` rescales them as (x - b) / (1 - b) with a file in the
library's format (one line a layer: LAYER,P,R,F). Without one nothing is rescaled, and the note says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from thresher.compute import flops, meter
from thresher.errors import ModelError, TaskError
from thresher.models import encoder, load
from thresher.models.quiet import quiet
from thresher.models.sources import in_package

if TYPE_CHECKING:
    from thresher.evaluation.task import Task

AT_ONCE = 32  # pairs


def values(task: Task, texts: Sequence[str], references: Sequence[str]) -> tuple[Float[np.ndarray, " n"], str]:
    """(n,) F1 of each pair, and which encoder, layer and baseline they are by.

    Raises:
        TaskError: an encoder that cannot be used, a layer it does not have, or no such baseline.
    """
    assert task.encoder is not None, "the task says so"
    path, layers = _encoder(task.encoder)
    layer = layers if task.layer is None else task.layer
    if not 1 <= layer <= layers:
        raise TaskError(f"task {task.task}: the encoder {task.encoder} has layers 1 to {layers}, not {layer}.")
    if task.baseline is not None and not Path(task.baseline).is_file():
        raise TaskError(f"task {task.task}: there is no baseline file {task.baseline}.")
    out = np.zeros(len(texts))
    spoken = [i for i, text in enumerate(texts) if text.strip()]  # the library cannot read an empty one: it has 0
    if spoken:
        import bert_score

        with quiet():
            _, _, found = bert_score.score(
                [texts[i] for i in spoken], [references[i] for i in spoken], model_type=path, num_layers=layer,
                batch_size=AT_ONCE, lang="en", rescale_with_baseline=task.baseline is not None,
                baseline_path=task.baseline, use_fast_tokenizer=True,
            )  # fmt: skip
        out[spoken] = found.double().numpy()
        _bill(path, [texts[i] for i in spoken], [references[i] for i in spoken])
    about = f"rescaled with {task.baseline}" if task.baseline else "no baseline: raw values, not rescaled"
    return out, f"bert_score by {task.encoder}, layer {layer} of {layers}; {about}"


@lru_cache(maxsize=4)
def _encoder(name: str) -> tuple[str, int]:
    """Its folder and how many layers it has.

    Raises:
        TaskError: there is no such folder, or it is no encoder.
    """
    try:
        path = str(in_package(name.removeprefix("package:"))) if name.startswith("package:") else name
        return path, int(load.config(path).num_hidden_layers)
    except (ModelError, AttributeError) as error:
        raise TaskError(f"bert_score: the encoder {name!r} cannot be used: {error}") from error


def _bill(path: str, *texts: Sequence[str]) -> None:
    """What reading costs, without padding."""
    tokenizer, architecture = load.open_tokenizer(path), encoder.architecture(path)
    lengths = np.array([len(ids) for some in texts for ids in tokenizer(list(some), verbose=False)["input_ids"]])
    tokens = int(lengths.sum())
    meter.count(flops=float(flops.embed(architecture, tokens, float((lengths**2).sum()))), tokens=tokens)
