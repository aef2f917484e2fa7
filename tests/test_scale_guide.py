"""The figures in docs/scale.md are what its commands print of the kept measurements."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
KEPT = "docs/results/scale.json"


@pytest.mark.parametrize("asked", [["--show", KEPT], ["--plan", KEPT, "--rows", "1e9"]], ids=["measured", "planned"])
def test_a_table_of_the_guide_is_what_its_command_prints(asked):
    guide = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    command = ["benchmarks/scale.py", *asked]
    assert f"    python {' '.join(command)}\n" in guide
    said = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said in guide, f"run `python {' '.join(command)}` and put what it prints into docs/scale.md"


def test_every_number_of_workers_chose_the_same_bytes():
    lines = json.loads((ROOT / KEPT).read_text(encoding="utf-8"))
    alone = {(line["rows"], line["step"]): line.get("sha256") for line in lines if line["workers"] == 1}
    shared = [line for line in lines if line["workers"] > 1]
    assert shared, "measured with workers, too"
    assert all(alone[line["rows"], line["step"]] == line["sha256"] for line in shared)
