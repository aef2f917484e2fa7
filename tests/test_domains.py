"""Sources are ranked by their transport cost to the target, and only the closest stay."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from thresher import choosing
from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.domains import Domains, closest, rows_of
from thresher.errors import FieldError, PoolError, Unconverged, UnknownName
from thresher.setting import Setting, Sources
from thresher.signals._transport import Settings
from thresher.signals.embed import Embed
from thresher.signals.hashed_ngrams import HashedNgrams

TOPICS = {
    "sea": ["tide", "keel", "mast", "rope", "sail", "oar", "deck", "hull", "anchor", "harbour"],
    "farm": ["barn", "plough", "wheat", "cow", "hay", "fence", "tractor", "seed", "field", "goat"],
    "court": ["judge", "jury", "appeal", "verdict", "clause", "statute", "bench", "bail", "oath", "brief"],
    "both": ["tide", "keel", "mast", "rope", "sail", "barn", "plough", "wheat", "cow", "hay"],
}


def texts(topic: str, n: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(TOPICS[topic], 6)) for _ in range(n)]


def pool_of(sizes: dict[str, int]) -> Pool:
    rows = [(text, topic) for topic, n in sizes.items() for text in texts(topic, n, 1)]
    return Pool.from_messages([[{"role": "text", "content": t}] for t, _ in rows], [g for _, g in rows])


@pytest.fixture(scope="module")
def pool() -> Pool:
    return pool_of({"court": 60, "farm": 40, "both": 50, "sea": 30})


@pytest.fixture(scope="module")
def target() -> Pool:
    return Pool.from_messages([[{"role": "text", "content": t}] for t in texts("sea", 25, 7)])


def find(pool: Pool, target: Pool, store: Store, **how: object):
    return closest(
        pool, target, HashedNgrams(d=256), settings=Settings(), how=Domains(**how), store=store
    )  # type: ignore[arg-type]


def test_the_target_s_own_topic_is_closest_and_half_of_it_second(pool: Pool, target: Pool, store: Store):
    found = find(pool, target, store)
    assert [line.source for line in found.table][:2] == ["sea", "both"]
    cost = [line.cost for line in found.table]
    assert cost == sorted(cost)
    assert cost[0] < 0.8 * cost[2]
    assert [line.kept for line in found.table] == [True, True, False, False]
    assert all(line.converged and line.sweeps > 0 for line in found.table)
    assert set(found.excluded) == set(range(100)), "court and farm come first in the file"
    assert [line.candidates for line in found.table] == [30, 50, 0, 0]


def test_samples_and_candidates_are_as_many_as_asked_for(pool: Pool, target: Pool, store: Store):
    found = find(pool, target, store, rows=20, candidates=24)
    assert [line.sampled for line in found.table] == [20] * 4
    assert [line.candidates for line in found.table] == [12, 12, 0, 0]
    assert len(pool) - len(found.excluded) == 24
    by_closeness = find(pool, target, store, rows=20, candidates=24, share="closeness")
    near, far = by_closeness.table[:2]
    assert near.candidates > far.candidates
    assert near.candidates + far.candidates == 24


def test_the_order_of_the_file_does_not_matter(pool: Pool, target: Pool, store: Store):
    turned = pool.take(np.arange(len(pool))[::-1])
    a, b = find(pool, target, store, rows=20), find(turned, target, store, rows=20)
    assert [(line.source, line.sampled) for line in a.table] == [(line.source, line.sampled) for line in b.table]
    np.testing.assert_allclose([line.cost for line in a.table], [line.cost for line in b.table], rtol=0.02)


def test_what_cannot_be(pool: Pool, target: Pool, store: Store):
    with pytest.raises(PoolError, match="has 4: both, court, farm, sea"):
        find(pool, target, store, keep=5)
    with pytest.raises(FieldError, match="domains.rows must be at least 1"):
        Domains(rows=0)
    with pytest.raises(PoolError, match="row-0.*--group"):
        rows_of(Pool.from_messages([[{"role": "text", "content": "x"}]]), {})
    with pytest.raises(PoolError, match="'sea' has no rows that can be chosen \\(gone\\)"):
        rows_of(pool, dict.fromkeys(range(150, 180), "gone"))
    with pytest.raises(Unconverged, match="larger epsilon"):
        closest(pool, target, HashedNgrams(d=256), settings=Settings(max_sweeps=1, tolerance=1e-9), how=Domains(),
                store=store)  # fmt: skip


def test_target_rows_with_nothing_to_read_move_no_source(pool: Pool, target: Pool, tiny_encoder: str, store: Store):
    said = [[{"role": "text", "content": text}] for text in ["", *target.text()]]
    answers = Embed(encoder=tiny_encoder, text="answer")
    whole, found = (
        closest(pool, near, answers, settings=Settings(), how=Domains(rows=20), store=store)
        for near in (target, Pool.from_messages(said))
    )
    assert found.table == whole.table
    assert found.estimate == whole.estimate


def test_the_method_chooses_from_the_closest_sources_only_and_its_card_says_so(
    pool: Pool, target: Pool, tmp_path: Path
):
    for name, rows in (("pool", pool), ("target", target)):
        lines = [{"id": i, "text": t, "source": g} for i, t, g in
                 zip(rows.ids(), rows.text(), rows.table["group"].to_pylist(), strict=True)]  # fmt: skip
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    sources = Sources(pool=str(tmp_path / "pool.jsonl"), target=(str(tmp_path / "target.jsonl"),))
    setting = Setting.open(sources, store=Store(tmp_path / "store"))
    choice = choosing.choose(setting, "got-d:domains-hash", "40 rows", overrides={"domains.keep": 1})
    card = choosing.write(choice, tmp_path / "out")
    assert card["chosen"]["groups"] == {"sea": 30}, "more than the source has cannot be"
    assert [line["kept"] for line in card["domains"]["sources"]] == [True, False, False, False]
    assert "closest sources only: sea (30 rows)" in card["notes"][-1]
    assert sum("not among the closest" in reason for reason in card["left_out"]) == 3
    assert {"hashed_ngrams", "domains"} <= {stage["stage"] for stage in card["cost"]["stages"]}
    with pytest.raises(UnknownName, match="no field domains.keep"):
        choosing.choose(setting, "got-d:hash", "40 rows", overrides={"domains.keep": 1})
    with pytest.raises(UnknownName, match="keeps"):
        choosing.choose(setting, "got-d:domains-hash", "40 rows", overrides={"domains.keeps": 1})
