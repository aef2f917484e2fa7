"""Files to a pool: every kind of file gives the same rows; every kind of damage gives one clear sentence."""

import csv
import errno
import gzip
import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from thresher.core.pool import Pool, fingerprint_of
from thresher.data import read, records
from thresher.data.read import load_pool
from thresher.errors import PoolError, RowError, StoreError, UnknownName

ROWS = [{"id": f"a{i}", "source": "xy"[i % 2], "prompt": f"What is {i}+1?", "response": str(i + 1)} for i in range(25)]


def jsonl(rows=ROWS) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def put(tmp_path, name, content: bytes) -> str:
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return str(path)


def encoded(kind: str, tmp_path) -> bytes:
    if kind == "jsonl":
        return jsonl()
    if kind == "json":
        return json.dumps(ROWS).encode()
    table = tmp_path / "made"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), table)
    else:
        with table.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(ROWS[0]))
            writer.writeheader()
            writer.writerows(ROWS)
    return table.read_bytes()


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet", "csv"])
def test_the_kind_of_file_does_not_matter(kind, packed, tmp_path):
    pool = load_pool(put(tmp_path, f"rows.{kind}{packed}", encoded(kind, tmp_path)), cache=tmp_path)
    plain = load_pool(put(tmp_path, "plain.jsonl", jsonl()), cache=tmp_path)
    assert pool.fingerprint == plain.fingerprint
    assert list(pool.origin()) == ROWS
    assert pool.group_names == ["x", "y"]


def test_a_datasets_folder_reads_like_the_file(tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    datasets.Dataset.from_list(ROWS).save_to_disk(str(tmp_path / "folder"))
    plain = load_pool(put(tmp_path, "plain.jsonl", jsonl()), cache=tmp_path)
    assert load_pool(str(tmp_path / "folder"), cache=tmp_path).fingerprint == plain.fingerprint
    datasets.DatasetDict(train=datasets.Dataset.from_list(ROWS)).save_to_disk(str(tmp_path / "splits"))
    with pytest.raises(PoolError, match="several splits: train"):
        load_pool(str(tmp_path / "splits"), cache=tmp_path)


def test_the_fingerprint_written_is_that_of_the_rows(tmp_path):
    pool = load_pool(put(tmp_path, "a.jsonl", jsonl()), cache=tmp_path)
    assert pool.fingerprint == fingerprint_of(pool.table)


def test_the_second_time_nothing_is_parsed(tmp_path, monkeypatch):
    source = put(tmp_path, "a.jsonl", jsonl())
    first = load_pool(source, cache=tmp_path)
    monkeypatch.setattr(read, "parse", lambda *_: pytest.fail("parsed again"))
    assert load_pool(source, cache=tmp_path).path == first.path


def test_rows_taken_across_batches_come_in_the_order_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(read, "BATCH_BYTES", 100)
    monkeypatch.setattr(records, "BLOCK", 300)
    pool = load_pool(put(tmp_path, "a.jsonl", jsonl()), cache=tmp_path)
    assert pool.table["id"].num_chunks > 3, "the test is about several batches"
    index = np.array([24, 3, 3, 0, 17])
    assert pool.take(index).ids() == [f"a{i}" for i in index]
    assert list(pool.take(index).origin()) == [ROWS[i] for i in index]
    assert len(pool.take(np.array([], dtype=np.int64))) == 0
    whole = Pool.open(pool.path)
    assert whole.fingerprint == fingerprint_of(whole.table)


def test_origin_is_the_line_as_written_and_odd_characters_survive(tmp_path):
    line = '{"prompt": "a\\u0000b\\u2028c\u2029d\x7f",  "response":"\\u0007 \u00e9\\ud83d\\ude00", "n": 1.50}'
    pool = load_pool(put(tmp_path, "a.jsonl", f"  {line}\r\n\n".encode()), cache=tmp_path)
    assert pool.table["origin"][0].as_py() == line
    assert pool.prompt() == ["a\x00b\u2028c\u2029d\x7f"]
    assert pool.answer() == ["\x07 \u00e9\U0001f600"]


def test_a_row_of_a_megabyte_is_fine(tmp_path):
    long = "word " * 300_000
    pool = load_pool(put(tmp_path, "a.jsonl", jsonl([{"prompt": "x", "response": long}])), cache=tmp_path)
    assert pool.answer() == [long]


BAD = [
    (b"{broken", "broken JSON"),
    (b"[1, 2]", "not an object"),
    (b'{"prompt": "x", "response": ""}', "no answer"),
    (b'{"prompt": "x"}', "no answer"),
    (b'{"prompt": ["x"], "response": "4"}', "turn 1 must be an object"),
    (b'{"prompt": "x", "response": 4}', "must be text, and is a number"),
    (b'{"prompt": "\xff\xfe", "response": "y"}', "not valid UTF-8"),
    (b'{"prompt": "\\ud800", "response": "y"}', "surrogate"),
    (b'{"prompt": "x", "response": ' + b"[" * 100_000, "broken JSON"),
    (b'{"prompt": "x", "response": ' + b"1" * 5_000 + b"}", "broken JSON"),
    (b'{"prompt": "x", "response": "y", "source": ["z"]}', "group column 'source'"),
]


@pytest.mark.parametrize(("line", "reason"), BAD, ids=[reason for _, reason in BAD])
def test_a_bad_line_is_named_or_counted_never_dropped(line, reason, tmp_path):
    good = jsonl().splitlines()
    source = put(tmp_path, "a.jsonl", b"\n".join([*good[:6], line, *good[6:]]))
    with pytest.raises(RowError, match=r"a\.jsonl line 7: ") as caught:
        load_pool(source, cache=tmp_path)
    assert reason in str(caught.value)
    assert not list((tmp_path / "pools").iterdir()), "half a pool was left behind"
    pool = load_pool(source, cache=tmp_path, skip_bad=True)
    assert len(pool) == len(ROWS)
    assert [(row.line, reason in row.reason) for row in pool.skipped] == [(7, True)]


def test_two_formats_in_one_file_name_both_and_their_lines(tmp_path):
    other = {"instruction": "x", "output": "y"}
    source = put(tmp_path, "a.jsonl", jsonl([ROWS[0], ROWS[1], other]))
    with pytest.raises(PoolError, match="line 1 is prompt-completion .* line 3 is alpaca"):
        load_pool(source, cache=tmp_path)
    assert [row.line for row in load_pool(source, cache=tmp_path, skip_bad=True).skipped] == [3]


def test_forcing_a_format_reads_columns_that_would_go_otherwise(tmp_path):
    source = put(tmp_path, "a.jsonl", jsonl([{"prompt": "p", "response": "r", "text": "t"}]))
    assert load_pool(source, cache=tmp_path).answer() == ["r"]
    assert load_pool(source, cache=tmp_path, format="text").answer() == ["t"]
    with pytest.raises(UnknownName, match="Did you mean 'text'"):
        load_pool(source, cache=tmp_path, format="txt")


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.jsonl.gz", "a.json.gz", "a.csv.gz"])
@pytest.mark.parametrize("content", [b"", b"\n\n", b"   "])
def test_an_empty_file_is_said_to_be_empty(name, content, tmp_path):
    with pytest.raises(PoolError, match="has no rows"):
        load_pool(put(tmp_path, name, content), cache=tmp_path)


def test_a_file_of_bad_rows_only_is_not_an_empty_pool(tmp_path):
    with pytest.raises(PoolError, match="none of its 2 rows can be read; line 1: broken JSON"):
        load_pool(put(tmp_path, "a.jsonl", b"{\n{\n"), cache=tmp_path, skip_bad=True)


def test_a_missing_file_names_its_neighbours(tmp_path):
    put(tmp_path, "pool_train.jsonl", jsonl())
    with pytest.raises(PoolError, match=r"no file .*pool_tran.jsonl. Near names there: pool_train.jsonl"):
        load_pool(str(tmp_path / "pool_tran.jsonl"), cache=tmp_path)
    with pytest.raises(PoolError, match="folder .* is not there either"):
        load_pool(str(tmp_path / "nowhere" / "pool.jsonl"), cache=tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.xlsx", b"x", "no known kind"),
        ("a.json", b'[{"prompt": ', "not valid JSON"),
        ("a.json", b'"text"', "must hold a list"),
        ("a.json", b'[{"prompt": "\xff"}]', "not valid UTF-8"),
        ("a.parquet", b"not parquet", "cannot be read as parquet"),
        ("a.parquet.gz", b"not parquet", "cannot be read as parquet"),
        ("a.csv", b"prompt,prompt\na,b\n", "names a column twice"),
        ("a.csv", b'prompt,response\n"a"b,c\n', "not valid CSV"),
        ("a.csv", b"prompt,response\na,b\na,b,c\n", "line 3: has 3 cells"),
        ("a.csv", b"prompt,response\na,\xff\n", "line 2: not valid UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(name, content, reason, tmp_path):
    with pytest.raises(PoolError) as caught:
        load_pool(put(tmp_path, name, content), cache=tmp_path)
    assert reason in str(caught.value)


def test_a_cut_or_false_gzip_file_is_named(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(jsonl())[:-12])
    with pytest.raises(PoolError, match="not a whole gzip file"):
        load_pool(str(path), cache=tmp_path)
    path.write_bytes(b"plain")
    with pytest.raises(PoolError, match="not a whole gzip file"):
        load_pool(str(path), cache=tmp_path)


def test_a_line_without_end_stops_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "MAX_LINE", 1 << 20)
    monkeypatch.setattr(records, "BLOCK", 1 << 16)
    with pytest.raises(RowError, match="line 1: longer than 1 MB"):
        load_pool(put(tmp_path, "bomb.jsonl.gz", b"a" * (8 << 20)), cache=tmp_path)


def test_csv_cells_may_hold_newlines_and_numbers_stay_text(tmp_path):
    source = put(tmp_path, "a.csv", b'\xef\xbb\xbfprompt,response,group\r\n"two\nlines",042,g\r\nb,c,\r\n')
    pool = load_pool(source, cache=tmp_path)
    assert pool.prompt() == ["two\nlines", "b"]
    assert pool.answer() == ["042", "c"]
    assert pool.table["group"].to_pylist() == ["g", None]


def test_the_group_column_is_the_first_known_or_the_named_one(tmp_path):
    rows = [{"text": "a b", "task": "t", "kind": 3}, {"text": "c d", "task": "u", "kind": 4}]
    source = put(tmp_path, "a.jsonl", jsonl(rows))
    assert load_pool(source, cache=tmp_path).group_names == ["t", "u"]
    assert load_pool(source, cache=tmp_path, group="kind").group_names == ["3", "4"]
    with pytest.raises(PoolError, match="no column 'sauce' to group by. Its columns: text, task, kind"):
        load_pool(source, cache=tmp_path, group="sauce")


def test_ids_whose_hashes_are_equal_are_compared_as_words(tmp_path, monkeypatch):
    monkeypatch.setattr(read, "hash", len, raising=False)
    assert load_pool(put(tmp_path, "rows.jsonl", jsonl()), cache=tmp_path).ids() == [row["id"] for row in ROWS]
    pool = load_pool(put(tmp_path, "more.jsonl", jsonl([*ROWS, ROWS[3], ROWS[3]])), cache=tmp_path)
    assert any(f"2 of {len(ROWS) + 2} rows repeat an 'id'" in note for note in pool.notes)


def test_ids_that_repeat_or_miss_become_row_numbers_with_a_note(tmp_path):
    twice = [ROWS[0], ROWS[1], ROWS[0]]
    pool = load_pool(put(tmp_path, "a.jsonl", jsonl(twice)), cache=tmp_path)
    assert pool.ids() == ["row-1", "row-2", "row-3"]
    assert any("1 of 3 rows repeat an 'id'" in note for note in pool.notes)
    assert pool.fingerprint == fingerprint_of(pool.table)
    pool = load_pool(put(tmp_path, "b.jsonl", jsonl([ROWS[0], {"prompt": "x", "response": "y"}])), cache=tmp_path)
    assert pool.ids() == ["row-1", "row-2"]
    assert any("1 of 2 rows have no 'id'" in note for note in pool.notes)


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    source = put(tmp_path, "a.jsonl", jsonl())
    monkeypatch.setattr(read.os, "replace", full)
    with pytest.raises(StoreError, match="No space left"):
        load_pool(source, cache=tmp_path)
    assert not list((tmp_path / "pools").iterdir())


@pytest.mark.parametrize("source", ["hub:", "hub:owner/name", "hub:a:b:c:d"])
def test_a_hub_name_without_a_split_is_refused_before_any_network(source, tmp_path):
    with pytest.raises(PoolError, match="hub:owner/name:split"):
        load_pool(source, cache=tmp_path)


def test_the_demo_is_a_source(tmp_path):
    assert len(load_pool("demo", cache=tmp_path)) == 6000
    assert load_pool("demo:test", cache=tmp_path).group_names == ["mines"]
