"""LESS's features against a plain recomputation from a peft checkpoint with its optimiser's file, row by row.

The Trainer's own checkpoint (`adapter_model.safetensors`, `optimizer.pt`) is opened as any script would open it: peft's
loader, the optimiser's numbered state laid over the trainable parameters in their order, one row at a time through
autograd, and the shape written out.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from transformers import AutoModelForCausalLM

from thresher.core.pool import Pool
from thresher.models.load import encoded, resolve
from thresher.signals import _keeping
from thresher.signals._checkpoints import Run
from thresher.signals._row_features import directions
from thresher.signals._tuning import Tuning
from thresher.signals.less import Less
from thresher.signals.warmup import Warmup

pytestmark = [pytest.mark.parity, pytest.mark.slow]


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory, tiny_pool: Pool, cache: Path) -> tuple[Warmup, Run, Path]:
    """A warm-up, and a copy of the checkpoint the Trainer made at the end of its last epoch."""
    folder = tmp_path_factory.mktemp("parity")
    model = resolve("scratch:120k", pool=tiny_pool, cache=cache)
    warmup = Warmup(
        model=model, share=0.6, epochs=2, lora=4, alpha=16, batch_size=8, learning_rate=2e-3, max_tokens=96,
        tuning=Tuning(rows=40, epochs=2.0),
    )  # fmt: skip
    assert "on_save" not in vars(_keeping._Keep), "the copy below would take its place"

    def on_save(self: Any, args: Any, state: Any, control: Any, **rest: Any) -> None:
        shutil.rmtree(folder / "theirs", ignore_errors=True)
        shutil.copytree(Path(args.output_dir) / f"checkpoint-{state.global_step}", folder / "theirs")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_keeping._Keep, "on_save", on_save)
        run = warmup.prepare(tiny_pool, None, folder / "own")
    return warmup, run, folder / "theirs"


def by_hand(run: Run, theirs: Path, pool: Pool, tokens: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, p) plain and shaped gradients at the Trainer's checkpoint."""
    from peft import PeftModel

    base = AutoModelForCausalLM.from_pretrained(run.base, dtype=torch.float32)
    network = PeftModel.from_pretrained(base, str(theirs), is_trainable=True).eval()
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    state = torch.load(theirs / "optimizer.pt", weights_only=True)["state"]
    assert len(state) == len(named)
    for i, (_, p) in enumerate(named):
        assert state[i]["exp_avg"].shape == p.shape
    m, v = (torch.cat([state[i][key].flatten() for i in range(len(named))]) for key in ("exp_avg", "exp_avg_sq"))
    plain, shaped = [], []
    for i in range(len(pool)):
        ids, trained = tokens.row(i)
        labels = torch.from_numpy(np.where(trained, ids, -100).astype(np.int64))[None]
        loss = network(input_ids=torch.from_numpy(ids.astype(np.int64))[None], labels=labels).loss
        g = torch.cat([part.flatten() for part in torch.autograd.grad(loss, [p for _, p in named])])
        plain.append(g)
        shaped.append((0.9 * m + 0.1 * g) / torch.sqrt(0.999 * v + 0.001 * g**2 + 1e-8))
    return torch.stack(plain), torch.stack(shaped)


@pytest.mark.filterwarnings("ignore")
def test_features_equal_a_plain_recomputation_row_by_row(warm: tuple[Warmup, Run, Path], tiny_pool: Pool):
    warmup, run, theirs = warm
    tokens = encoded(run.base, tiny_pool, 96)
    plain, shaped = by_hand(run, theirs, tiny_pool, tokens)
    how = Less(warmup=warmup, projection="none")._reading()
    for shape, want in (("plain", plain), ("adam", shaped)):
        got = torch.zeros_like(want)
        for places, x in directions(run, len(run.rates) - 1, tiny_pool, shape, how):
            got[places] = x
        want = want / want.norm(dim=1, keepdim=True)
        assert_allclose((got * want).sum(dim=1).numpy(), 1, atol=1e-5)
        assert_allclose(got.numpy(), want.numpy(), atol=2e-5)
