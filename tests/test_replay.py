"""A card gives the same subset again, from another store and another place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from thresher import choosing
from thresher.core.store import Store
from thresher.setting import Setting, Sources

ROWS = [
    {"prompt": f"How many keys are {i} and {i % 7}?", "completion": f"{i + i % 7}." + " So." * (i % 4)}
    for i in range(50)
]


@pytest.mark.parametrize("method", ["random", "longest", "ppl-mid", "bm25"])
def test_replayed_from_another_store_it_is_the_same_to_the_byte(method: str, tmp_path: Path):
    from thresher.cli import main

    pool, target = tmp_path / "pool.jsonl", tmp_path / "target.jsonl"
    pool.write_text("\n".join(map(json.dumps, ROWS[:44])) + "\n")
    target.write_text("\n".join(map(json.dumps, ROWS[44:])) + "\n")
    store, out = Store(tmp_path / "store"), tmp_path / "out"
    sources = Sources(pool=str(pool), target=(str(target),), model="scratch:50k")
    made = choosing.write(choosing.choose(Setting.open(sources, store=store), method, "9 rows", seed=4), out)
    moved = pool.rename(tmp_path / "moved.jsonl")
    again = ["--pool", str(moved), "--out", str(tmp_path / "again"), "--store", str(tmp_path / "other store")]
    main(["replay", str(out / "card.json"), *again])
    for name, sha256 in made["sha256"].items():
        assert (out / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
        assert len(sha256) == 64
    card = json.loads((out / "card.json").read_text())
    assert card["budget"]["unspent"] == pytest.approx(
        card["budget"]["amount"] - card["budget"]["selection"] - card["budget"]["training"]
    )
