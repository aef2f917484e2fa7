"""Every mistake a user can make ends in one clear sentence and exit code 2, with nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from command_line import Command, Said, alpaca, write_jsonl
from safetensors.numpy import load_file, save_file

GOOD = alpaca(30)


def refused(said: Said, *words: str) -> None:
    """Exit code 2, nothing on stdout, one sentence (or a few) on stderr that holds all the words."""
    assert said.code == 2, said.err
    assert said.out == ""
    lines = said.err.strip().splitlines()
    assert "Traceback" not in said.err
    assert len([line for line in lines if line.startswith(("error:", "Error:"))]) == 1, said.err
    for word in words:
        assert word in said.err, f"{word!r} is not in: {said.err}"


def nothing_in(folder: Path) -> None:
    left = [path for path in (folder, folder.with_name(folder.name + ".part")) if path.exists()]
    assert not left, f"half-written: {left}"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


BAD_ROWS = {
    "broken JSON on line 7": ('{"instruction": "How', "line 7", "JSON", "--skip-bad"),
    "a row with no answer": ({"instruction": "How?"}, "line 7", "output", "--skip-bad"),
    "an answer of the wrong type": ({"instruction": "How?", "output": 3}, "line 7", "output", "--skip-bad"),
    "a prompt of the wrong type": ({"instruction": ["How?"], "output": "So."}, "line 7", "instruction"),
    "a row that is no object": ("[1, 2]", "line 7", "object"),
    "invalid UTF-8": (b'{"instruction": "\xff\xfe", "output": "So."}', "line 7", "UTF-8"),
    "another format": (
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
        "line 7",
        "alpaca",
    ),
}


@pytest.mark.parametrize(("row", "words"), [(row, words) for row, *words in BAD_ROWS.values()], ids=list(BAD_ROWS))
def test_a_bad_row_is_named_by_its_line(row, words, thresher: Command, tmp_path: Path, out: Path):
    pool = write_jsonl(tmp_path / "bad.jsonl", [*GOOD[:6], row, *GOOD[6:]])
    refused(thresher("select", "random", pool, "--budget", "5 rows", "--out", out), "bad.jsonl", *words)
    nothing_in(out)


@pytest.mark.parametrize(("row", "words"), [(row, words) for row, *words in BAD_ROWS.values()], ids=list(BAD_ROWS))
def test_a_bad_row_is_skipped_on_request_and_counted_in_the_card(
    row, words, thresher: Command, tmp_path: Path, out: Path
):
    pool = write_jsonl(tmp_path / "bad.jsonl", [*GOOD[:6], row, *GOOD[6:]])
    said = thresher("select", "random", pool, "--budget", "5 rows", "--out", out, "--skip-bad", "--json")
    assert said.code == 0, said.err
    card = said.document
    assert card == json.loads((out / "card.json").read_text())
    assert card["pool"]["rows"] == 30
    assert card["pool"]["skipped"] == 1
    assert card["pool"]["skipped_first"][0]["line"] == 7


@pytest.mark.parametrize("option", ["pool", "--target"])
@pytest.mark.parametrize("content", [b"", b"\n\n  \n"], ids=["nothing", "blank lines"])
def test_an_empty_file(option: str, content: bytes, thresher: Command, pool_file: Path, tmp_path: Path, out: Path):
    empty = tmp_path / "empty.jsonl"
    empty.write_bytes(content)
    pool, more = (empty, []) if option == "pool" else (pool_file, ["--target", empty])
    refused(thresher("select", "random", pool, "--budget", "5 rows", "--out", out, *more), "empty.jsonl", "no rows")
    nothing_in(out)


@pytest.mark.parametrize("option", ["pool", "--target"])
def test_a_file_that_is_not_there_names_its_neighbours(option: str, thresher: Command, pool_file: Path, out: Path):
    missing = pool_file.with_name("pol.jsonl")
    pool, more = (missing, []) if option == "pool" else (pool_file, ["--target", missing])
    said = thresher("select", "random", pool, "--budget", "5 rows", "--out", out, *more)
    refused(said, "pol.jsonl", "pool.jsonl", "Give a file")
    nothing_in(out)


def test_a_row_of_a_megabyte_is_an_ordinary_row(thresher: Command, tiny_model: str, tmp_path: Path, out: Path):
    rows = [*GOOD, {"instruction": "Go on.", "output": "word " * 200_000, "source": "odd"}]
    pool = write_jsonl(tmp_path / "large.jsonl", rows)
    said = thresher("select", "longest", pool, "--model", tiny_model, "--budget", "1 row", "--out", out, "--json")
    assert said.code == 0, said.err
    cut = said.document["pool"]["truncated"]
    assert cut["rows"] == 1
    assert cut["tokens"] > 100_000
    assert json.loads((out / "selected.jsonl").read_text())["output"].startswith("word word")


def test_target_rows_in_the_pool_are_left_out_and_counted(
    thresher: Command, pool_file: Path, tmp_path: Path, out: Path
):
    target = write_jsonl(tmp_path / "target.jsonl", [GOOD[3], GOOD[4], *alpaca(3, start=900)])
    arguments = ("select", "random", pool_file, "--target", target, "--budget", "28 rows", "--json")
    said = thresher(*arguments, "--out", out)
    assert said.code == 0, said.err
    assert said.document["left_out"] == {"also stands in the target": 2}
    chosen = [json.loads(line) for line in (out / "selected.jsonl").read_text().splitlines()]
    assert len(chosen) == 28
    assert GOOD[3] not in chosen
    kept = thresher(*arguments[:-2], "30 rows", "--keep-target-rows", "--out", tmp_path / "kept", "--json")
    assert kept.document["left_out"] == {}
    assert kept.document["chosen"]["rows"] == 30


def test_a_target_that_is_the_pool(thresher: Command, pool_file: Path, out: Path):
    refused(
        thresher("select", "random", pool_file, "--target", pool_file, "--budget", "5 rows", "--out", out),
        "every row", "pool.jsonl", "target",
    )  # fmt: skip
    nothing_in(out)


BUDGETS = {
    "0 rows": ("'0 rows'", "above zero"),
    "-5 rows": ("'-5 rows'", "above zero"),
    "-3%": ("'-3%'", "above zero"),
    "31 rows": ("31 rows", "30 rows", "full"),
    "101%": ("101%", "30 rows"),
    "1%": ("1%", "3.33%"),
    "5 apples": ("apples", "rows", "tokens"),
    "5": ("no unit",),
    "many": ("many",),
    "1e400 rows": ("1e400",),
    "nan rows": ("nan",),
    "5000 tokens": ("--model",),
    "1e15 flops": ("--model",),
}


@pytest.mark.parametrize("budget", BUDGETS)
def test_a_budget_that_cannot_be(budget: str, thresher: Command, pool_file: Path, out: Path):
    refused(thresher("select", "random", pool_file, f"--budget={budget}", "--out", out), *BUDGETS[budget])
    nothing_in(out)


def test_a_budget_that_choosing_eats_names_what_would_have_fitted(
    thresher: Command, pool_file: Path, target_file: Path, tiny_model: str, out: Path
):
    said = thresher(
        "select", "ppl-mid", pool_file, "--target", target_file, "--model", tiny_model, "--scorer", "scratch:200k",
        "--budget", "2e8 flops", "--out", out,
    )  # fmt: skip
    refused(said, "nothing is left for training", "2e+08 flops", "random", "bm25")
    assert "zero-shot" not in said.err
    nothing_in(out)


def select(method: str, *more: str) -> list[str]:
    return ["select", method, "POOL", "--budget", "5 rows", "--out", "OUT", *more]


MISSPELT = {
    "method": (select("randon"), "'randon'", "Did you mean 'random'"),
    "signal": (["measure", "lenght", "POOL"], "'lenght'", "Did you mean 'length'"),
    "field": (
        select("random:balanced", "--set", "proportionall=true"),
        "'proportionall'", "Did you mean", "stratified.proportional",
    ),
    "field's value": (
        select("random:balanced", "--set", "proportional=3"),
        "proportional", "true or false", "3",
    ),
    "no value": (select("random", "--set", "shuffle"), "'shuffle'", "FIELD=VALUE"),
    "command": (["selct", "random", "POOL"], "'selct'", "Did you mean 'select'"),
    "option": (["select", "random", "POOL", "--budgt", "5 rows", "--out", "OUT"], "--budgt", "--budget"),
    "format": (["check", "POOL", "--format", "alpacca"], "'alpacca'", "alpaca"),
    "group column": (select("random:balanced", "--group", "sauce"), "sauce", "source"),
    "model": (select("longest", "--model", "no/such-folder/at all"),
              "no/such-folder/at all", "scratch:3m"),
    "scorer": (select("ppl-mid", "--scorer", "./no.gguf"), "no.gguf", "scratch:"),
    "hub model": (select("longest", "--model", "nobody/nothing-here"),
                  "nobody/nothing-here"),
    "scratch size": (select("longest", "--model", "scratch:big"), "big", "3m"),
    "cut": (select("longest", "--model", "cut:x"), "cut:MODEL:LAYERS"),
    "hardware": (["select", "random", "POOL", "--model", "TINY", "--budget", "$5", "--out", "OUT",
                  "--hardware", "h1000"], "h1000", "h100"),
    "no scorer": (select("ppl-mid"), "--scorer"),
    "no target": (select("bm25"), "--target"),
    "no training": (select("zero-shot"), "zero-shot"),
    "recipe": (select("random", "--recipe", "no.yaml"), "no.yaml"),
    "run recipe": (["run", "no.yaml", "--out", "OUT"], "no.yaml"),
    "task": (["evaluate", "TINY", "--task", "no.yaml"], "no.yaml"),
    "train data": (["train", "no.jsonl", "--model", "TINY", "--out", "OUT"], "no.jsonl"),
    "results": (["frontier", "no.parquet"], "no.parquet"),
    "report": (["report", "no-folder"], "no-folder"),
    "card": (["replay", "no.json", "--out", "OUT"], "no.json"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "words"), [(a, w) for a, *w in MISSPELT.values()], ids=list(MISSPELT))
def test_what_is_misspelt_or_not_there(
    arguments, words, thresher: Command, pool_file: Path, tiny_model: str, out: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    put = {"POOL": pool_file, "OUT": out, "TINY": tiny_model}
    refused(thresher(*[put.get(argument, argument) for argument in arguments]), *words)
    nothing_in(out)


def test_a_pool_without_groups_cannot_be_balanced(thresher: Command, tmp_path: Path, out: Path):
    pool = write_jsonl(tmp_path / "plain.jsonl", [{k: v for k, v in row.items() if k != "source"} for row in GOOD])
    refused(thresher("select", "random:balanced", pool, "--budget", "5 rows", "--out", out), "plain.jsonl", "--group")
    nothing_in(out)


def test_a_folder_of_something_else_is_not_written_over(thresher: Command, pool_file: Path, out: Path):
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    refused(thresher("select", "random", pool_file, "--budget", "5 rows", "--out", out), str(out), "--out")
    assert (out / "thesis.tex").read_text() == "years of work"


def variant(model: str, folder: Path) -> Path:
    """A copy of the tiny model that is not taken for a random start."""
    shutil.copytree(model, folder)
    (folder / "thresher.json").write_text(json.dumps({"origin": "test", "random_start": False}))
    return folder


def test_a_tokenizer_without_template_or_pad_token_works_and_is_named(
    thresher: Command, tiny_model: str, pool_file: Path, tmp_path: Path, out: Path
):
    model = variant(tiny_model, tmp_path / "bare")
    (model / "chat_template.jinja").unlink(missing_ok=True)
    path = model / "tokenizer_config.json"
    about = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in about.items() if k not in ("chat_template", "pad_token")}))
    said = thresher("select", "ppl-mid", pool_file, "--model", model, "--budget", "5 rows", "--out", out, "--json")
    assert said.code == 0, said.err
    assert said.document["pool"]["template"].startswith("thresher-plain")
    assert said.document["model"]["padding"] == "eos"


def test_a_loss_that_is_nan_names_the_rows(
    thresher: Command, tiny_model: str, pool_file: Path, tmp_path: Path, out: Path
):
    model = variant(tiny_model, tmp_path / "broken")
    (weights,) = model.glob("*.safetensors")
    values = load_file(weights)
    name = next(name for name in values if "layers.0" in name)
    save_file({**values, name: np.full_like(values[name], np.nan)}, weights, metadata={"format": "pt"})
    said = thresher("select", "ppl-mid", pool_file, "--scorer", model, "--budget", "5 rows", "--out", out)
    refused(said, "NaN", "loss", "row-1", "30 of 30")
    nothing_in(out)


def test_a_card_of_another_version_is_refused_unless_asked(
    thresher: Command, pool_file: Path, tmp_path: Path, out: Path
):
    assert thresher("select", "random", pool_file, "--budget", "5 rows", "--out", out).code == 0
    card = json.loads((out / "card.json").read_text())
    (tmp_path / "old.json").write_text(json.dumps({**card, "thresher": "0.0.1"}))
    again = tmp_path / "again"
    refused(thresher("replay", tmp_path / "old.json", "--out", again), "0.0.1", "--other-version")
    nothing_in(again)
    assert thresher("replay", tmp_path / "old.json", "--out", again, "--other-version").code == 0


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"thresher": "0.1.0"}'])
def test_a_card_that_is_none(content: str, thresher: Command, tmp_path: Path, out: Path):
    (tmp_path / "card.json").write_text(content)
    refused(thresher("replay", tmp_path / "card.json", "--out", out), "card.json")
    nothing_in(out)


def test_replay_says_what_has_changed(thresher: Command, pool_file: Path, out: Path, tmp_path: Path):
    assert thresher("select", "random", pool_file, "--budget", "5 rows", "--out", out).code == 0
    write_jsonl(pool_file, alpaca(29))
    again = tmp_path / "again"
    refused(thresher("replay", out / "card.json", "--out", again), "pool")
    nothing_in(again)


@pytest.mark.parametrize("name", ["selected.jsonl", "scores.parquet", "card.json"])
def test_a_disk_that_fills_up_leaves_nothing_half_written(
    name: str, thresher: Command, pool_file: Path, out: Path, monkeypatch: pytest.MonkeyPatch
):
    """Whatever file of the selection meets the full disk: one sentence, no --out, and room made, all is well."""
    import pyarrow.parquet as pq

    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def refuse(*_: object, **__: object) -> None:
        raise full

    if name == "scores.parquet":
        monkeypatch.setattr(pq, "write_table", refuse)
    else:
        plain_open = Path.open
        plain_write = Path.write_text
        for method, plain in (("open", plain_open), ("write_text", plain_write)):
            monkeypatch.setattr(
                Path,
                method,
                lambda self, *a, _plain=plain, **k: refuse() if self.name == name else _plain(self, *a, **k),
            )
    arguments = ("select", "random", pool_file, "--budget", "5 rows", "--out", out)
    refused(thresher(*arguments), "No space left", "--out")
    assert not out.exists()
    monkeypatch.undo()
    os.environ["THRESHER_STORE"] = str(out.parent / "store")
    try:
        assert thresher(*arguments).code == 0
    finally:
        del os.environ["THRESHER_STORE"]
    assert sorted(p.name for p in out.iterdir())[:2] == ["axolotl.yaml", "card.json"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 64 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk here; the same with a planted error is tested above")
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if made.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {made.stderr.strip()}; a planted error is tested above")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("where", ["--out", "--store"])
def test_a_real_disk_that_is_full(where: str, small_disk: Path, thresher: Command, tmp_path: Path):
    rows = [{**row, "output": row["output"] + " and so on" * 300} for row in alpaca(60)]
    pool = write_jsonl(tmp_path / "pool.jsonl", rows)
    places = {"--out": tmp_path / "out", "--store": tmp_path / "store", where: small_disk / "here"}
    said = thresher("select", "random", pool, "--budget", "50 rows", *[x for pair in places.items() for x in pair])
    refused(said, "No space left")
    assert not places["--out"].exists()


DOCUMENTS = {
    "methods": ["methods"],
    "check": ["check", "POOL", "--target", "TARGET", "--model", "TINY"],
    "measure": ["measure", "length", "POOL", "--model", "TINY"],
    "select": ["select", "bm25", "POOL", "--target", "TARGET", "--budget", "5 rows", "--out", "OUT"],
    "train": ["train", "POOL", "--model", "TINY", "--out", "OUT"],
    "evaluate": ["evaluate", "TINY", "--task", "TASK"],
}


@pytest.mark.parametrize("arguments", DOCUMENTS.values(), ids=list(DOCUMENTS))
def test_json_is_one_document_on_stdout(
    arguments, thresher: Command, pool_file: Path, target_file: Path, tiny_model: str, tmp_path: Path, out: Path
):
    task = tmp_path / "task.yaml"
    task.write_text("task: keys\ndata: target.jsonl\nmeasure: held_out\n")
    put = {"POOL": pool_file, "TARGET": target_file, "OUT": out, "TINY": tiny_model, "TASK": task}
    said = thresher(*[put.get(argument, argument) for argument in arguments], "--json")
    assert said.code == 0, said.err
    assert isinstance(json.loads(said.out), (dict, list))


def test_what_is_not_of_a_selection_is_not_lost_with_it(thresher: Command, tmp_path: Path, out: Path):
    pool = write_jsonl(tmp_path / "pool.jsonl", GOOD)
    asked = ("select", "random", pool, "--budget", "5 rows", "--out", out)
    assert thresher(*asked).code == 0
    for name in ("report.html", "diagnostics"):  # of report and inspect
        (out / name).mkdir()
    assert thresher(*asked).code == 0, "an earlier selection is replaced"
    (out / "model").mkdir()
    (out / "model" / "weights").write_text("mine")
    refused(thresher(*asked), "model", "would be lost", "--out")
    assert (out / "model" / "weights").read_text() == "mine"


def test_a_folder_that_cannot_be_left_is_said_before_rows_are_measured(
    thresher: Command, tmp_path: Path, out: Path
):
    pool = write_jsonl(tmp_path / "pool.jsonl", GOOD)
    out.write_text("a file")
    refused(thresher("select", "longest", pool, "--budget", "5 rows", "--out", out), "is a file", "--out")
    assert out.read_text() == "a file"
