"""What optimal transport cannot do is said through the command line, and nothing unconverged is passed off."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import Command, Said, write_jsonl
from safetensors.numpy import load_file, save_file

WORDS = {"sea": ["tide", "keel", "mast", "rope", "sail", "oar"], "farm": ["barn", "hay", "cow", "seed", "goat", "pig"]}


def lines(n: int, seed: int, only: str = "") -> list[dict[str, str]]:
    rng = np.random.default_rng(seed)
    kinds = [only or ("sea", "farm")[i % 2] for i in range(n)]
    return [{"text": " ".join(rng.choice(WORDS[kind], 7)), "source": kind} for kind in kinds]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    return {
        "POOL": write_jsonl(tmp_path / "pool.jsonl", lines(40, 0)),
        "TARGET": write_jsonl(tmp_path / "target.jsonl", lines(8, 1, "sea")),
        "ONE": write_jsonl(tmp_path / "one.jsonl", lines(1, 2, "sea")),
        "SAME": write_jsonl(tmp_path / "same.jsonl", [{"text": "tide and keel", "source": "sea"}] * 12),
        "OUT": tmp_path / "out",
    }


def select(method: str, *more: str, pool: str = "POOL", target: str = "TARGET") -> list[str]:
    return ["select", method, pool, "--target", target, "--budget", "6 rows", "--out", "OUT", *more]


def run(thresher: Command, files: dict[str, Path], arguments: list[str], **more: object) -> Said:
    put = {**files, **more}
    return thresher(*[put.get(one, one) for one in arguments])


def refused(said: Said, files: dict[str, Path], *words: str, code: int = 2) -> None:
    assert said.code == code, said.err
    assert said.out == ""
    assert "Traceback" not in said.err
    assert "fault of thresher's own" not in said.err
    for word in words:
        assert word in said.err, f"{word!r} is not in: {said.err}"
    assert not files["OUT"].exists()


def test_a_target_of_one_row_ranks_by_distance_to_it(thresher: Command, files: dict[str, Path]):
    said = run(thresher, files, [*select("got-d:hash", target="ONE"), "--json"])
    assert said.code == 0, said.err
    assert said.document["accounts"]["got_d"]["converged"]
    chosen = [json.loads(line) for line in (files["OUT"] / "selected.jsonl").read_text().splitlines()]
    assert {row["source"] for row in chosen} == {"sea"}


def test_rows_that_are_all_alike(thresher: Command, files: dict[str, Path]):
    refused(run(thresher, files, select("got-d:hash", pool="SAME")), files, "same hashed_ngrams", "nothing to rank")


HURRY = ("--set", "epsilon=1e-4", "--set", "max_sweeps=3")
UNCONVERGED = {
    "a signal": select("got-d:hash", *HURRY),
    "measured": ["measure", "got_d", "POOL", "--target", "TARGET", *HURRY],
    "a selector": select("got-d:relinearised", "--encoder", "ENCODER", *HURRY),
    "sources": select("got-d:domains-hash", *HURRY, "--set", "domains.keep=1"),
}


@pytest.mark.parametrize("arguments", UNCONVERGED.values(), ids=list(UNCONVERGED))
def test_what_did_not_converge_is_given_only_where_that_is_allowed(
    arguments: list[str], thresher: Command, files: dict[str, Path], tiny_encoder: str
):
    said = run(thresher, files, arguments, ENCODER=tiny_encoder)
    refused(said, files, "still off by", "larger epsilon", "max_sweeps", "looser tolerance", "--allow-unconverged",
            code=1)  # fmt: skip
    allowed = run(thresher, files, [*arguments, "--allow-unconverged", "--json"], ENCODER=tiny_encoder)
    assert allowed.code == 0, allowed.err
    if arguments[0] == "select":
        card = allowed.document
        accounts = [card["accounts"].get("got_d", {}).get("converged"), *("NOT CONV" in note for note in card["notes"])]
        assert False in accounts or True in accounts[1:], "the card says so"
        assert card["request"]["overrides"]["allow_unconverged"] is True


def test_the_flag_is_refused_where_there_is_nothing_to_converge(
    thresher: Command, files: dict[str, Path], tmp_path: Path
):
    refused(run(thresher, files, select("random", "--allow-unconverged")), files, "allow_unconverged")
    recipe = tmp_path / "run.yaml"
    recipe.write_text(
        "pool: pool.jsonl\nmodel: scratch:50k\nmethods: [random]\nbudgets: [10 rows]\nseeds: [0]\n"
        "tasks: [{task: x, data: target.jsonl, measure: held_out}]\n"
    )
    said = thresher("run", recipe, "--out", files["OUT"], "--allow-unconverged")
    refused(said, files, "--allow-unconverged", "no method of this recipe")


def test_in_a_run_every_arm_that_transports_is_allowed(tmp_path: Path):
    from thresher.cli.run import _allowing
    from thresher.spec import Spec

    values = {"pool": "p", "model": "m", "methods": ["random", "got-d:hash", "uot"], "budgets": ["1 rows"],
              "seeds": [0], "tasks": [{"task": "x", "data": "t", "measure": "held_out"}]}  # fmt: skip
    arms = _allowing(Spec.from_dict(values, folder=tmp_path)).arms
    allowed = {"allow_unconverged": True}
    assert [dict(arm.overrides) for arm in arms] == [{}, allowed, allowed]


def test_a_target_of_other_dimensions(thresher: Command, files: dict[str, Path]):
    other = ("--set", 'target_of={"name": "hashed_ngrams", "d": 64}')
    said = run(thresher, files, select("embed:hash", *other))
    refused(said, files, "4096 dimensions", "target's has 64", "one encoder for both")


def test_an_encoder_that_gives_nan_names_the_rows(
    thresher: Command, files: dict[str, Path], tiny_encoder: str, tmp_path: Path
):
    broken = tmp_path / "broken"
    shutil.copytree(tiny_encoder, broken)
    (weights,) = broken.glob("*.safetensors")
    values = load_file(weights)
    name = next(name for name in values if "layer.0" in name)
    save_file({**values, name: np.full_like(values[name], np.nan)}, weights, metadata={"format": "pt"})
    for method in ("got-d", "got-d:relinearised"):
        said = run(thresher, files, select(method, "--encoder", "BROKEN"), BROKEN=broken)
        refused(said, files, "no usable vector", "40 of 40", "row-")


def test_a_source_of_which_no_row_is_left(thresher: Command, files: dict[str, Path], tmp_path: Path):
    """Every row of the farm also stands in the target."""
    farm = [row for row in lines(40, 0) if row["source"] == "farm"]
    both = write_jsonl(tmp_path / "both.jsonl", farm)
    for arguments in (select("got-d:domains-hash", target="BOTH"), ["domains", "POOL", "--target", "BOTH"]):
        said = run(thresher, files, arguments, BOTH=both)
        refused(said, files, "'farm'", "no rows that can be chosen", "--only")


@pytest.mark.parametrize("share", ["0", "-0.1", "1.5", "nan"])
def test_a_lambda_that_is_no_share(share: str, thresher: Command, files: dict[str, Path], tiny_encoder: str):
    value = "NaN" if share == "nan" else share
    arguments = select("got-d:relinearised", "--encoder", "ENCODER", "--set", f"share={value}")
    refused(run(thresher, files, arguments, ENCODER=tiny_encoder), files, "lambda", "above 0", share)


def test_the_report_of_a_choice_by_transport_has_its_pictures(thresher: Command, files: dict[str, Path]):
    assert run(thresher, files, select("got-d:domains-hash", "--set", "domains.keep=2")).code == 0
    assert thresher("report", files["OUT"]).code == 0
    (page,) = files["OUT"].glob("*.html")
    for title in ("Which sources lie closest", "error of the target", "Scores by source", "Sources by budget"):
        assert title in page.read_text(encoding="utf-8")
