"""Imports point at the core; heavy packages stay where they are about something; files are small and say their name."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from thresher import building, methods, pipeline
from thresher.core import registry
from thresher.core.method import Selector, Signal

ROOT = Path(__file__).parents[1] / "src" / "thresher"
FILES = sorted(ROOT.rglob("*.py"))
EVERYTHING = {
    "core",
    "compute",
    "data",
    "models",
    "report",
    "selectors",
    "training",
    "signals",
    "evaluation",
    "planning",
}

# what a folder may import besides itself and `errors`
ARROWS: dict[str, set[str]] = {
    "core": set(),
    "compute": {"core"},
    "data": {"core"},
    "report": {"core"},
    "selectors": {"core"},
    "models": {"core", "compute", "data.chat"},
    "training": {"core", "compute", "data", "models"},
    "signals": {"core", "compute", "models", "training", "data.chat"},
    "evaluation": {"core", "models", "compute", "data.chat"},
    "planning": {"core", "compute"},
    "pipeline": {"core", "compute"},
    "methods": {"core"},  # the table only: `thresher methods` loads nothing heavy
    "errors": set(),
}
TOP = {
    "building",
    "card",
    "nearest",
    "setting",
    "scoring",
    "tabled",
    "choosing",
    "requested",
    "contaminated",
    "paired",
    "unscored",
    "pricing",
    "inspecting",
    "reasons",
    "spec",
    "job",
    "jobs",
    "placed",
    "domains",
    "planner",
    "tariff",
    "evidence",
    "contenders",
    "pilot",
    "stages",
    "run",
    "race",
    "foresight",
    "cli",
    "__main__",
    "__init__",
}
HEAVY = {
    "torch",
    "transformers",
    "peft",
    "plotly",
    "datasets",
    "ray",
    "scipy",
    "sklearn",
    "accelerate",
    "pandas",
}


def place(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0]


def imports(path: Path) -> list[tuple[int, str, bool]]:
    """(line, module, at the top of the file) of everything a file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = set(map(id, tree.body))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name, id(node) in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} has a relative import"
            module = str(node.module)
            inside = module in ("thresher", *(f"thresher.{folder}" for folder in EVERYTHING))  # then names are files
            names = [f"{module}.{alias.name}" for alias in node.names] if inside else [module]
            found += [(node.lineno, name, id(node) in top) for name in names]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_arrows(path: Path):
    here = place(path)
    if here in TOP:
        return
    assert here in ARROWS, f"{here} is not in the table of arrows: put it there, and into DESIGN 2.1"
    for line, module, _ in imports(path):
        if not module.startswith("thresher."):
            continue
        wanted = module.removeprefix("thresher.")
        head = wanted.split(".")[0]
        if head in ("errors", "__version__", here):
            continue
        allowed = ARROWS[here]
        assert head in allowed or any(f"{wanted}.".startswith(f"{arrow}.") for arrow in allowed), (
            f"{path.relative_to(ROOT)}:{line} imports {module}; {here} may import {sorted(allowed) or 'nothing'}"
        )


@pytest.mark.parametrize(
    "path", [p for p in FILES if place(p) in ("core", "cli", "methods", "__init__", "errors")], ids=lambda p: p.stem
)
def test_light_files_import_nothing_heavy_at_their_top(path: Path):
    for line, module, at_top in imports(path):
        assert not at_top or module.split(".")[0] not in HEAVY, f"{path.relative_to(ROOT)}:{line} imports {module}"


LIGHT = [
    "thresher",
    "thresher.core.pool",
    "thresher.core.store",
    "thresher.cli",
    "thresher.methods",
    "thresher.pipeline",
]
LIGHT += ["thresher.planning.results", "thresher.data.read", "thresher.errors"]


def _loaded(program: str) -> set[str]:
    program += "\nimport sys, json; sys.stderr.write(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stderr))


@pytest.mark.parametrize("module", LIGHT)
def test_importing_it_loads_nothing_heavy(module: str):
    assert not _loaded(f"import {module}") & HEAVY


@pytest.mark.parametrize("arguments", [["--help"], ["methods"], ["select", "--help"]], ids=" ".join)
def test_help_and_methods_load_nothing_heavy(arguments: list[str]):
    program = (
        f"from thresher.cli import main\ntry: main({arguments!r})\nexcept SystemExit as stop: assert not stop.code"
    )
    assert not _loaded(program) & HEAVY


@pytest.mark.parametrize("folder", ["signals", "selectors"])
def test_one_public_class_a_file_named_like_it(folder: str):
    base = {"signals": Signal, "selectors": Selector}[folder]
    for name in registry.names(folder):
        cls = registry.get(folder, name)
        assert issubclass(cls, base)
        assert cls.__name__.lower() == name.replace("_", ""), f"{folder}/{name}.py holds {cls.__name__}"
        tree = ast.parse((ROOT / folder / f"{name}.py").read_text(encoding="utf-8"))
        methods_here = [
            node.name
            for node in tree.body
            if isinstance(node, ast.ClassDef)
            and any(isinstance(b, ast.Name) and b.id in ("Signal", "Selector") for b in node.bases)
        ]
        assert len(methods_here) <= 1, f"{folder}/{name}.py holds {methods_here}: one method, one file"


@pytest.mark.parametrize("folder", ["signals", "selectors"])
def test_a_method_says_formula_source_difference_and_cost(folder: str):
    for name in registry.names(folder):
        said = registry.get(folder, name).__doc__ or ""
        for part in ("Source:", "Differs:", "Cost:"):
            assert part in said, f"{folder}/{name}.py does not say its {part}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_small_and_called_for_what_they_do(path: Path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    assert path.stem not in {"utils", "util", "common", "helpers", "helper", "base", "config", "types", "misc"}


@pytest.mark.parametrize("name", methods.table())
def test_every_named_method_builds_and_its_kinds_fit(name: str, tiny_model: str):
    method = methods.get(name)
    assert method.paper
    assert method.cost
    assert set(method.needs) <= {"target", "scorer", "encoder", "groups"}
    if method.train in ("none", "target", "labelled"):
        assert not method.signals
        assert not method.selector
        return
    signals, selector = building.build(method, model=tiny_model, scorer=tiny_model, encoder=tiny_model)
    pipeline.check_kinds(signals, selector)
    assert any(signal.needs_target for signal in signals) == ("target" in method.needs)
    assert ("scorer" in method.needs) == ("@scorer" in str(method.signals)), "in nested signals too"
    assert ("encoder" in method.needs) == ("@encoder" in str(method.signals))
    if method.by_group:
        assert any(signal.kind == "affinity" for signal in signals)
