"""What the fuzzer found (`make fuzz`), input by input: it stays mended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import readers
from seeds import CARD, SEEDS

from thresher import requested
from thresher.errors import StoreError

TABLE = SEEDS["results-parquet"][0]
FOUND = [
    ("card", json.dumps(CARD).replace("overrides", "ove2rides").encode()),  # was a KeyError, "a fault of ours"
    ("results-parquet", TABLE[:4] + bytes(len(TABLE) - 12) + TABLE[-8:]),  # its description is empty: was an OSError
]


@pytest.mark.parametrize(("name", "content"), FOUND)
def test_what_was_found(name: str, content: bytes, tmp_path: Path):
    readers.read(name, content, tmp_path)


@pytest.mark.parametrize("name", readers.READERS)
def test_every_reader_has_seeds_and_reads_them(name: str, tmp_path: Path):
    assert SEEDS[name]
    for number, content in enumerate(SEEDS[name]):
        folder = tmp_path / str(number)
        folder.mkdir()
        readers.read(name, content, folder)


WRONG = [7, "x", None, [], {}, True, 1.5, "\x00", [1], {"a": 1}]


def paths(value: object, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    inner = value.items() if isinstance(value, dict) else ()
    return [*([above] if above else []), *(path for key, one in inner for path in paths(one, (*above, key)))]


@pytest.mark.parametrize("path", paths(CARD), ids=".".join)
def test_a_card_with_anything_in_any_place_is_read_or_refused(path: tuple[str, ...], tmp_path: Path):
    (tmp_path / "card.json").write_text(json.dumps(CARD))
    assert requested.read(tmp_path / "card.json").method == "random"
    for wrong in WRONG:
        card = json.loads(json.dumps(CARD))
        inner = card
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = wrong
        readers.read("card", json.dumps(card).encode(), tmp_path)
    del inner[path[-1]]
    if path[0] in ("method", "seed", "request", "pool", "sha256") and len(path) == 1:
        (tmp_path / "card.json").write_text(json.dumps(card))
        with pytest.raises(StoreError, match=path[0]):
            requested.read(tmp_path / "card.json")
