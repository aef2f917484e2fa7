"""A choice by transport, inspected: laws of mixtures and coverage, and the file it leaves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from thresher import choosing
from thresher.core.store import Store
from thresher.inspecting.inspection import Wanted, inspect
from thresher.inspecting.transport import Space, coverage, mixtures, sensitivity
from thresher.setting import Setting, Sources
from thresher.signals._transport import Settings


@pytest.fixture(scope="module")
def space() -> Space:
    """Five clumps; the target lies in the last two, which are rare in the pool."""
    rng = np.random.default_rng(0)
    centre = rng.standard_normal((5, 8)) * 2
    label = np.repeat(np.arange(5), [120, 120, 120, 20, 20])
    values = centre[label] + 0.3 * rng.standard_normal((400, 8))
    near = centre[np.repeat([3, 4], 20)] + 0.3 * rng.standard_normal((40, 8))
    return Space(values.astype(np.float32), near.astype(np.float32), Settings(), False)


def test_mixtures_with_the_choice_come_closer_to_what_was_held_out(space: Space):
    found = mixtures(space, 30, {"all of it": np.arange(400)}, np.random.default_rng(1))
    for curve in [*found["methods"].values(), *found["saw_both"].values()]:
        assert curve[0] == pytest.approx(1, abs=1e-6), "nothing of it mixed in is the pool"
    got, chance = found["methods"]["got-d"], found["methods"]["random"]
    assert got[2] < 0.97, "a tenth of what the pool lacks"
    assert all(a < b for a, b in zip(got[1:], chance[1:], strict=True))
    assert found["saw_both"]["all of it"][-1] == pytest.approx(1, abs=1e-6), "the pool itself changes nothing"
    assert found["held_out"] == 20


def test_coverage_counts_targets_with_a_chosen_row_among_the_nearest(space: Space):
    assert coverage(space, np.arange(400)) == 1.0
    assert coverage(space, np.arange(100)) == 0.0, "rows of another clump"
    assert 0.2 < coverage(space, np.arange(360, 380)) < 0.6, "one of the target's two clumps"


def test_the_order_at_other_epsilons_is_compared_with_its_own(space: Space):
    base, half, twice = sensitivity(space, np.arange(30), np.random.default_rng(2))
    assert (base["overlap"], base["spearman"]) == (1.0, pytest.approx(1.0))
    assert half["factor"] == 0.5
    assert 0.5 < half["overlap"] <= 1
    assert 0.5 < twice["overlap"] <= 1


def test_a_selection_s_folder_is_inspected(tmp_path: Path):
    rng = np.random.default_rng(3)
    words = ["tide", "keel", "mast", "rope", "barn", "plough", "wheat", "cow"]
    pool = [{"text": " ".join(rng.choice(words[4 * (i % 4 == 0) :][:4], 5)), "source": "ab"[i % 2]} for i in range(60)]
    target = [{"text": " ".join(rng.choice(words[4:], 6))} for _ in range(10)]
    for name, rows in (("pool", pool), ("target", target)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    store = Store(tmp_path / "store")
    sources = Sources(pool=str(tmp_path / "pool.jsonl"), target=(str(tmp_path / "target.jsonl"),))
    setting = Setting.open(sources, store=store)
    for method in ("random", "got-d:hash"):
        choosing.write(choosing.choose(setting, method, "10 rows"), tmp_path / "chosen" / method)
    out = inspect(tmp_path / "chosen" / "got-d:hash", Wanted(steps=0), store=store)
    said = json.loads((out / "transport.json").read_text())
    assert set(said["coverage"]) == {"chosen", "random"}
    assert list(said["mixture"]["saw_both"]) == ["random"], "the other selection beside it"
    assert len(said["epsilon"]) == 3
    assert said["receipts"][0]["flops"] > 0
