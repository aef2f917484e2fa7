"""Strangers' files: nothing of theirs runs, grows without bound, leaves its folder or steers a terminal."""

from __future__ import annotations

import csv
import gzip
import json
import pickle
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import Command, Happened
from injected import run

from thresher.cli import _lines
from thresher.core import answering
from thresher.data.read import load_pool
from thresher.errors import ModelError, PoolError, RecipeError, TaskError
from thresher.evaluation import answers
from thresher.evaluation.judges import open_judge
from thresher.evaluation.task import Task
from thresher.jobs import _folder_name
from thresher.models import folder as folders
from thresher.models.load import config as load_config
from thresher.models.load import resolve
from thresher.planning import results
from thresher.spec import Spec
from thresher.training.recipe import Recipe


class Bomb:
    """Unpickling it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable, tuple]:
        return Path.write_text, (self.path, "it ran")


@pytest.fixture
def stranger(model: str, tmp_path: Path) -> Path:
    """A model's folder that may be spoilt."""
    return Path(shutil.copytree(model, tmp_path / "stranger"))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl"])
def test_pickled_weights_are_not_opened(name: str, stranger: Path, tmp_path: Path, happened: Happened):
    for weights in stranger.glob("*.safetensors"):
        weights.unlink()
    (stranger / name).write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    with pytest.raises(ModelError, match="only as a pickle"):
        resolve(str(stranger), cache=tmp_path)
    assert not (tmp_path / "ran").exists()
    happened("weights as a pickle", "measure", "refused before it is opened")


def test_an_adapter_with_a_pickle_beside_other_weights_is_not_opened(tmp_path: Path, happened: Happened):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"base_model_name_or_path": "x"}')
    (adapter / "adapter_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    (adapter / "other.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="only as a pickle"):
        resolve(str(adapter), cache=tmp_path)
    assert not (tmp_path / "ran").exists()
    happened("an adapter as a pickle beside other weights", "measure", "refused before it is opened")


def test_a_pickled_judge_is_not_opened(tmp_path: Path, happened: Happened):
    (tmp_path / "judge.pkl").write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    with pytest.raises(TaskError, match="trust_pickle"):
        open_judge(str(tmp_path / "judge.pkl"))
    assert not (tmp_path / "ran").exists()
    happened("a judge as a pickle", "evaluate", "refused unless the task says trust_pickle")


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_code_that_comes_with_a_model_does_not_run(name: str, stranger: Path, tmp_path: Path, happened: Happened):
    told = json.loads((stranger / name).read_text())
    (stranger / name).write_text(json.dumps({**told, "auto_map": {"AutoConfig": "code.Config"}}))
    (stranger / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ModelError, match="--trust-remote-code"):
        resolve(str(stranger), cache=tmp_path)
    assert not (tmp_path / "ran").exists()
    happened(f"remote code (auto_map in {name})", "measure", "refused unless --trust-remote-code")


def test_code_runs_where_it_is_trusted(stranger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The flag does what it says: the folder's own configuration class is the one that is read."""
    monkeypatch.setenv(folders.TRUSTED, "")
    told = json.loads((stranger / "config.json").read_text())
    (stranger / "config.json").write_text(
        json.dumps({**told, "auto_map": {"AutoConfig": "own.Own"}, "model_type": "own"})
    )
    (stranger / "own.py").write_text(
        "from transformers import LlamaConfig\n\n\nclass Own(LlamaConfig):\n    model_type = 'own'\n"
    )
    path = resolve(str(stranger), cache=tmp_path, trust_remote_code=True)
    assert type(load_config(path)).__name__ == "Own"


def test_a_tokenizer_of_a_gigabyte_is_not_read(stranger: Path, tmp_path: Path, happened: Happened):
    with (stranger / "tokenizer.json").open("r+b") as file:
        file.truncate(1 << 30)
    with pytest.raises(ModelError, match=r"1,073,741,824 bytes"):
        resolve(str(stranger), cache=tmp_path)
    happened("a tokenizer file of 1 GB", "measure", "refused by its size, before it is read")


def test_a_gzip_bomb_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, happened: Happened):
    path = tmp_path / "bomb.jsonl.gz"
    row = json.dumps({"text": "x" * 5000}).encode() + b"\n"
    path.write_bytes(gzip.compress(row * 2000))
    assert path.stat().st_size < 100_000
    monkeypatch.setenv("THRESHER_MAX_UNPACKED", "1MB")
    with pytest.raises(PoolError, match="--max-unpacked"):
        load_pool(str(path), cache=tmp_path)
    assert not list(tmp_path.glob("pools/*"))
    monkeypatch.setenv("THRESHER_MAX_UNPACKED", "20 MB")
    assert len(load_pool(str(path), cache=tmp_path)) == 2000
    happened("a gzip bomb", "read", "refused at 100 times its size (4 GiB at least); --max-unpacked says otherwise")


def test_a_parquet_bomb_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, happened: Happened):
    path = tmp_path / "bomb.parquet"
    pq.write_table(pa.table({"text": ["x" * 100_000] * 100}), path, use_dictionary=False, compression="zstd")
    monkeypatch.setenv("THRESHER_MAX_UNPACKED", "1MB")
    with pytest.raises(PoolError, match="--max-unpacked"):
        load_pool(str(path), cache=tmp_path)
    happened("a parquet bomb", "read", "refused by what the file says of itself; --max-unpacked says otherwise")


def test_a_size_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("THRESHER_MAX_UNPACKED", "much")
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"text": "a"}\n'))
    with pytest.raises(PoolError, match="'much'"):
        load_pool(str(tmp_path / "a.jsonl.gz"), cache=tmp_path)


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
YAML = {
    "a tag that makes objects": ("pool: !!python/object/apply:os.system ['touch ran']\n", "constructor"),
    "billion laughs": (LAUGHS, "aliases"),
    "an alias of itself": ("a: &a [*a]\n", "itself"),
    "100,000 brackets": ("a: " + "[" * 100_000, "deeply|not YAML"),
    "a key twice": ("seeds: [0]\nseeds: [1]\n", "twice"),
    "5 MB": ("a: " + "x" * (5 << 20), "over 4 MB"),
}


@pytest.mark.parametrize("name", YAML)
def test_hostile_yaml(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, happened: Happened):
    monkeypatch.chdir(tmp_path)
    text, words = YAML[name]
    path = tmp_path / "x.yaml"
    path.write_text(text)
    for error, read in ((RecipeError, Recipe.read), (RecipeError, Spec.read), (TaskError, Task.read)):
        with pytest.raises(error, match=words) as refused:
            read(path)
        assert len(str(refused.value)) < 2000
    assert not (tmp_path / "ran").exists()
    happened(f"YAML: {name}", "run", "refused in one sentence")


def test_a_pattern_that_takes_for_ever_is_stopped(monkeypatch: pytest.MonkeyPatch, happened: Happened):
    monkeypatch.setattr(answers, "SECONDS", 0.2)
    with pytest.raises(TaskError, match="for ever"):
        answers.extracted("a" * 60 + "!", [r"((?:a|aa|aaa)+)$"], "last")
    assert answers.extracted("the answer is 42", [r"(\d+)"], "last") == "42"
    happened("a regular expression with catastrophic backtracking", "evaluate", "stopped after 5 s a text, and said")


FORMULAS = ["=cmd|' /C calc'!A0", "+1+1", "-2", "@SUM(A1)", "\t=1", "'=already", "plain", "'plain"]


def test_formulas_do_not_run_in_spreadsheets(tmp_path: Path, happened: Happened):
    rows = [
        {"method": name, "model": "m", "task": "t", "metric": "loss", "score": -1.5, "selection_flops": 0.0,
         "training_flops": 1.0, "rows": 3}
        for name in FORMULAS
    ]  # fmt: skip
    results.write(rows, tmp_path)
    with (tmp_path / "results.csv").open(newline="") as file:
        cells = [line["method"] for line in csv.DictReader(file)]
    assert not [cell for cell in cells if cell[0] in "=+-@\t\r"]
    assert [run.method for run in results.read(tmp_path / "results.csv").runs] == [name.strip() for name in FORMULAS]
    happened("formulas in names", "run", "results.csv puts an apostrophe before them, and reads it away again")


@pytest.mark.parametrize("label", ["../../etc/passwd", "a/b\\c", "..", "x\0y", "CON: <>|*?\n"])
def test_names_do_not_leave_their_folder(label: str, tmp_path: Path, happened: Happened):
    name = _folder_name(label, "", "5 rows", 0)
    assert (tmp_path / name).resolve().parent == tmp_path.resolve()
    assert name not in (".", "..")
    happened("path traversal in labels", "run", "folders are called by letters, digits and underscores only")


SCRIPT = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'><svg/onload=alert(3)>"
ANSI = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x9b2J\u202e"


@pytest.fixture
def spiteful(world: Path) -> Path:
    """Ids, groups and texts that try everything."""
    rows = [
        {"id": f"../../{i}{SCRIPT}{ANSI}", "source": f"{SCRIPT}{ANSI}{i % 2}", "instruction": f"{SCRIPT} {i} {ANSI}",
         "output": f"=cmd|' /C calc'!A{i}{SCRIPT}"}
        for i in range(30)
    ]  # fmt: skip
    (world / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return world


class Scripts(HTMLParser):
    """What a browser would run, and the tags it would see."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


def test_rows_write_no_html_and_no_folder(spiteful: Path, command: Command, happened: Happened):
    place = spiteful / "place"
    before = {path.name for path in spiteful.parent.iterdir()}
    for stage in ("select", "report"):
        ended = run(*command(stage, place), folder=spiteful)
        assert ended.code == 0, ended.err
    page = (place / "out" / "report.html").read_text()
    found = Scripts()
    found.feed(page)
    assert not found.handlers
    assert "alert(1)</script>" not in page
    assert not {"img", "svg/onload"} & set(found.tags)
    assert {path.name for path in spiteful.parent.iterdir()} == before
    happened("HTML in rows, ids and groups", "report", "escaped: no tag and no handler of theirs is in the page")
    happened("path traversal in ids", "select", "ids name no files")


def test_rows_do_not_steer_the_terminal(spiteful: Path, command: Command, happened: Happened):
    said = [run("check", "pool.jsonl", "--store", spiteful / "store", folder=spiteful)]
    said += [run("check", "pool.jsonl", "--json", "--store", spiteful / "store", folder=spiteful)]
    (spiteful / "bad.jsonl").write_text(json.dumps({ANSI: ANSI}) + "\n")
    said += [run("check", "bad.jsonl", "--store", spiteful / "store", folder=spiteful)]
    said += [run("check", "pool.jsonl", "--group", ANSI, "--store", spiteful / "store", folder=spiteful)]
    assert [one.code for one in said] == [0, 0, 2, 2]
    for one in said:
        for text in (one.out, one.err):
            assert not [c for c in text if c not in "\n\t" and (c < " " or "\x7f" <= c <= "\x9f" or c == "\u202e")]
    assert any(ANSI in name for name in json.loads(said[1].out)["groups"]), "as data it is whole"
    happened("ANSI escapes in rows, names and groups", "read", "written out as \\x1b; JSON as \\u001b")


def test_no_command_prints_past_the_cleaning():
    here = Path(_lines.__file__).parent
    for path in here.glob("*.py"):
        if path.name != "_lines.py" and path.name != "_options.py":
            assert "click.echo(" not in path.read_text(), f"{path.name}: say options.echo, which cleans"


@pytest.fixture
def silent() -> Iterator[str]:
    """A hub that takes the call and says nothing."""
    server = socket.create_server(("127.0.0.1", 0))
    taken: list[socket.socket] = []

    def take() -> None:
        while True:
            try:
                taken.append(server.accept()[0])
            except OSError:
                return

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}"
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()
    for one in taken:
        one.close()


@pytest.mark.parametrize("what", ["model", "pool"])
def test_a_hub_that_does_not_answer_is_said_soon(what: str, silent: str, world: Path, happened: Happened):
    def fault() -> None:
        from huggingface_hub import constants

        constants.HF_HUB_OFFLINE = False
        constants.ENDPOINT = silent
        answering.SECONDS = 1

    pool, model = ("hub:nobody/nothing:train", "scratch:50k") if what == "pool" else ("pool.jsonl", "nobody/nothing")
    line = ("select", "longest", pool, "--model", model, "--budget", "5 rows")
    ended = run(*line, "--out", world / "out", "--store", world / "store", folder=world, fault=fault)
    assert ended.clear, (ended.code, ended.err)
    assert "does not answer" in ended.err
    happened(f"a hub that does not answer, for a {what}", "select", "one clear sentence after 10 s, exit 2")


def test_folders_are_still_opened(model: str):
    assert folders.check(Path(model)) == Path(model)
