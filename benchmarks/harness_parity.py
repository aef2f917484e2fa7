"""Our scores beside lm-evaluation-harness's, same model, rows, prompts and extraction: GSM8K written, MMLU chosen.

python benchmarks/harness_parity.py [MODEL] [FOLDER] [ROWS]

By default a tiny model from scratch, the rows in ../shared/data/targets, 16 of each. Needs lm_eval (make parity).
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import yaml

from thresher.data.read import load_pool
from thresher.evaluation import harness
from thresher.evaluation.measures import evaluate
from thresher.evaluation.task import Task
from thresher.models.load import open_model, resolve

NUMBER = r"(-?[$0-9.,]{2,}|-?[0-9]+)"
STOP = ["Question:", "</s>", "<|im_end|>"]
NEW = 64  # tokens of an answer


def written(folder: Path, rows: Path) -> Task:
    """GSM8K as the harness asks it, zero-shot; the last number counts."""
    harness_file(folder, "gsm8k_here", rows, {
        "output_type": "generate_until", "doc_to_text": "Question: {{prompt}}\nAnswer:", "doc_to_target": "{{answer}}",
        "generation_kwargs": {"until": STOP, "do_sample": False, "max_gen_toks": NEW},
        "filter_list": [{"name": "last", "filter": [
            {"function": "regex", "regex_pattern": NUMBER, "group_select": -1}, {"function": "take_first"}]}],
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True,
                         "regexes_to_ignore": [",", r"\$", r"\.$"]}],
    })  # fmt: skip
    return Task(
        task="gsm8k_here", data=str(rows), measure="exact_match", prompt="Question: {prompt}\nAnswer:", answer="answer",
        extract=NUMBER, normalise="number", format="plain", separator=" ", stop=tuple(STOP), max_new_tokens=NEW,
    )  # fmt: skip


def chosen(folder: Path, rows: Path) -> Task:
    """MMLU by the likelihood of the letters."""
    harness_file(folder, "mmlu_here", rows, {
        "output_type": "multiple_choice", "doc_to_text": "{{prompt}}", "doc_to_choice": ["A", "B", "C", "D"],
        "doc_to_target": "{{['A', 'B', 'C', 'D'].index(answer)}}",
        "metric_list": [{"metric": m, "aggregation": "mean", "higher_is_better": True} for m in ("acc", "acc_norm")],
    })  # fmt: skip
    return Task(
        task="mmlu_here", data=str(rows), measure="multiple_choice", metrics=("accuracy", "accuracy_character"),
        choices=("A", "B", "C", "D"), answer="answer", normalise="letter", format="plain", separator=" ",
    )  # fmt: skip


def harness_file(folder: Path, name: str, rows: Path, more: dict) -> None:
    kept = {"data_files": {"test": str(rows)}, "cache_dir": str(folder / "cache")}
    head = {"task": name, "dataset_path": "json", "test_split": "test", "dataset_kwargs": kept}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump({**head, **more}))


def first_rows(source: Path, n: int, out: Path) -> Path:
    with gzip.open(source, "rt", encoding="utf-8") as file:
        lines = [next(file) for _ in range(n)]
    keep = ("id", "prompt", "response", "answer")
    out.write_text("".join(json.dumps({k: json.loads(line)[k] for k in keep}) + "\n" for line in lines))
    return out


def main(name: str = "", folder: str = "../shared/data/targets", rows: str = "16") -> None:
    """Print the table."""
    if not Path(folder).is_dir() or find_spec("lm_eval") is None:
        print(f"lm_eval is not installed, or no folder {folder}: nothing to compare")
        return
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        gsm8k = first_rows(Path(folder) / "gsm8k.test.jsonl.gz", int(rows), home / "gsm8k.jsonl")
        mmlu = first_rows(Path(folder) / "mmlu.test.jsonl.gz", int(rows), home / "mmlu.jsonl")
        pool = load_pool(str(gsm8k), cache=home)
        model = resolve(name or "scratch:1m", pool=pool, cache=home)
        opened = open_model(model, dtype="float32")
        tasks = [written(home, gsm8k), chosen(home, mmlu)]
        found, _ = harness.run(opened, [task.task for task in tasks], folder=home)
        theirs = {(one.task, one.metric.partition("/")[0]): one for one in found}
        names = {"accuracy": "acc", "accuracy_character": "acc_norm"}
        print(f"model {name or 'scratch:1m'}, {rows} rows each, float32")
        print(f"{'task':12} {'ours':20} {'':10} {'harness':16} {'':10} rows that differ")
        for task in tasks:
            pool = load_pool(task.data, cache=home, format=task.reading)
            for one in evaluate(model, task, pool, dtype="float32")[0].all():
                other = theirs[task.task, names.get(one.metric, one.metric)]
                differ = int((one.values != other.values).sum())
                ours, harness_ = f"{one.metric:20} {one.score:<10.4f}", f"{other.metric:16} {other.score:<10.4f}"
                print(f"{task.task:12} {ours} {harness_} {differ}")


if __name__ == "__main__":
    main(*sys.argv[1:])
