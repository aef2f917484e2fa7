"""What is written is the user's own, and other trainers find their way in it."""

import json

import numpy as np
import pytest
import yaml

from thresher.core.method import Subset
from thresher.data import lines
from thresher.data.export import write_selected
from thresher.data.read import load_pool

TURNS = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]
ROWS = {
    "alpaca": {"instruction": "i", "input": "x", "output": "o", "mine": [1, None]},
    "messages": {"messages": TURNS},
    "sharegpt": {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "yo"}]},
    "prompt-completion": {"question": "q", "answer": "a"},
    "text": {"text": "t"},
}


def export(tmp_path, rows, index):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pool = load_pool(str(path), cache=tmp_path)
    write_selected(pool, Subset(np.array(index, dtype=np.int64), np.zeros(len(index))), tmp_path / "out")
    return tmp_path / "out"


def test_rows_come_out_as_they_went_in_and_in_the_order_chosen(tmp_path):
    rows = [{"text": f"é\u2028 {i}", "k": {"a": i}} for i in range(9)]
    out = export(tmp_path, rows, [7, 0, 3])
    lines = (out / "selected.jsonl").read_bytes().split(b"\n")
    assert [json.loads(line) for line in lines[:-1]] == [rows[7], rows[0], rows[3]]
    assert sorted(p.name for p in out.iterdir()) == ["axolotl.yaml", "dataset_info.json", "selected.jsonl"]


def test_order_and_repeats_hold_over_many_blocks_of_the_pool(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "ROWS", 4)
    rows = [{"text": f"{i}" * (i + 1)} for i in range(30)]
    index = [29, 3, 3, 0, 17, 29, 4]
    out = export(tmp_path, rows, index)
    said = (out / "selected.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in said] == [rows[i] for i in index]
    assert (export(tmp_path, rows, []) / "selected.jsonl").read_bytes() == b"", "nothing chosen, nothing written"


@pytest.mark.parametrize("name", ROWS)
def test_every_column_named_to_other_trainers_is_there(name, tmp_path):
    out = export(tmp_path, [ROWS[name]], [0])
    row = json.loads((out / "selected.jsonl").read_text())
    told = json.loads((out / "dataset_info.json").read_text())["selected"]
    assert row == ROWS[name]
    assert set(told["columns"].values()) <= set(row)
    assert told["formatting"] == ("sharegpt" if name in ("messages", "sharegpt") else "alpaca")
    if told["formatting"] == "sharegpt":
        turn = row[told["columns"]["messages"]][0]
        assert turn[told["tags"]["role_tag"]] == told["tags"]["user_tag"]
        assert told["tags"]["content_tag"] in turn
    (axolotl,) = yaml.safe_load((out / "axolotl.yaml").read_text())["datasets"]
    assert axolotl["path"] == "selected.jsonl"
    if isinstance(axolotl["type"], dict):
        assert row[axolotl["type"]["field_instruction"]] == "q"


def test_a_selection_can_be_read_again(tmp_path):
    out = export(tmp_path, [{"id": str(i), "text": f"t {i}"} for i in range(5)], [4, 2])
    assert load_pool(str(out / "selected.jsonl"), cache=tmp_path).ids() == ["4", "2"]
