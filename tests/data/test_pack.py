"""Text cut to equal lengths: nothing is lost, every piece knows where it is from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.data.pack import pack
from thresher.data.read import load_pool
from thresher.errors import PoolError
from thresher.models.load import open_tokenizer
from thresher.setting import Setting, Sources

DOCUMENTS = {
    "long": "Ann has many old wooden boats. " * 9 + "The last one leaks",
    "short": "Birds over the sea!",
    "odd": "  A 北海。keys\n\nand letters from home?  Yes (all of them.) 'No.' ",
    "unbroken": "keys and letters from home " * 12,
    "tiny": "x",
}


def texts(documents: dict[str, str], groups: list[str] | None = None) -> Pool:
    return Pool.from_messages(
        [[{"role": "text", "content": text}] for text in documents.values()], groups, ids=list(documents)
    )


@pytest.fixture(scope="module")
def tokenizer(tiny_model: str):
    return open_tokenizer(tiny_model)


def count(tokenizer, text: str) -> int:
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("border", ["sentence", "token"])
@pytest.mark.parametrize("groups", [None, ["a", "b", "a", "b", "a"]], ids=["one", "two groups"])
def test_every_document_is_there_whole(border, groups, tokenizer, tmp_path: Path):
    pieces = pack(texts(DOCUMENTS, groups), tokenizer, cache=tmp_path, length=16, border=border)
    found: dict[str, str] = dict.fromkeys(DOCUMENTS, "")
    for row in pieces.origin():
        parts = [DOCUMENTS[p["id"]][p["from"] : p["to"]] for p in row["pieces"]]
        assert row["text"] == "\n".join(parts)
        for part, text in zip(row["pieces"], parts, strict=True):
            assert part["from"] == len(found[part["id"]]), "in order, without a gap"
            found[part["id"]] += text
    assert found == DOCUMENTS
    assert len(set(pieces.ids())) == len(pieces)
    if groups:
        mine = dict(zip(DOCUMENTS, groups, strict=True))
        for row in pieces.origin():
            assert {mine[p["id"]] for p in row["pieces"]} == {row["source"]}, "sources are not mixed"


def test_pieces_are_of_equal_length_and_the_rest_is_short_and_weighs_less(tokenizer, tmp_path: Path):
    pieces = pack(texts(DOCUMENTS), tokenizer, cache=tmp_path, length=16, border="token")
    weights = [row["weight"] for row in pieces.origin()]
    assert min(weights[:-1]) >= 15 / 16, "full but for a joint"
    assert 0 < weights[-1] <= 1
    assert len(weights) > 8
    lengths = [count(tokenizer, text) for text in pieces.text()]
    assert max(lengths) <= 18, "a cut word may be read as a token more"


def test_sentences_stay_whole_unless_longer_than_a_piece(tokenizer, tmp_path: Path):
    pieces = pack(texts(DOCUMENTS), tokenizer, cache=tmp_path, length=24, border="sentence")
    parts = [p for row in pieces.origin() for p in row["pieces"]]
    cuts = [DOCUMENTS[p["id"]][: p["to"]] for p in parts if p["id"] in ("long", "odd")]
    assert len(cuts) > 3
    for before in cuts:
        assert before.rstrip()[-1] in ".?。')s" or before.endswith("\n\n"), before[-20:]
    unbroken = [p for p in parts if p["id"] == "unbroken"]
    assert len(unbroken) > 1, "one sentence of more tokens than a piece is cut"
    assert all(0 < row["weight"] <= 1 for row in pieces.origin())


def test_a_packed_pool_is_read_again_and_its_rows_are_rows_of_text(tokenizer, tmp_path: Path):
    first = pack(texts(DOCUMENTS), tokenizer, cache=tmp_path, length=16)
    again = pack(texts(DOCUMENTS), tokenizer, cache=tmp_path, length=16)
    assert again.fingerprint == first.fingerprint
    assert pack(texts(DOCUMENTS), tokenizer, cache=tmp_path, length=17).fingerprint != first.fingerprint
    assert "5 documents became" in first.notes[-1]
    (tmp_path / "out.jsonl").write_text("".join(json.dumps(row) + "\n" for row in first.origin()))
    read = load_pool(str(tmp_path / "out.jsonl"), cache=tmp_path)
    assert (read.format, read.text(), read.ids()) == ("text", first.text(), first.ids())


def test_turns_and_pieces_of_nothing_are_refused(tokenizer, tiny_pool: Pool, tmp_path: Path):
    with pytest.raises(PoolError, match="row-0 has turns"):
        pack(tiny_pool, tokenizer, cache=tmp_path)
    with pytest.raises(PoolError, match="256 is usual"):
        pack(texts(DOCUMENTS), tokenizer, cache=tmp_path, length=4)


def test_a_setting_packs_pool_and_target_alike(tiny_model: str, tmp_path: Path):
    for name, some in (("pool", DOCUMENTS), ("target", {"t1": "Old boats leak.", "t2": DOCUMENTS["short"]})):
        rows = [{"id": key, "text": text} for key, text in some.items()]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sources = Sources(
        pool=str(tmp_path / "pool.jsonl"), target=(str(tmp_path / "target.jsonl"),), model=tiny_model, pack=16
    )
    setting = Setting.open(sources, store=Store(tmp_path / "store"))
    assert {p["id"] for row in setting.pool.origin() for p in row["pieces"]} == set(DOCUMENTS) - {"short"}
    assert "1 documents left out" in setting.pool.notes[-2], "it stands in the target"
    assert setting.target is not None
    assert setting.target.text() == ["Old boats leak.\nBirds over the sea!"]
    with pytest.raises(PoolError, match="--encoder"):
        Setting.open(Sources(pool=str(tmp_path / "pool.jsonl"), pack=16), store=Store(tmp_path / "store"))
