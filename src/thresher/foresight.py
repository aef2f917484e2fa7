"""A plan made before its run, from published results and a pilot, and the run's verdict on it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from thresher import methods, planner
from thresher.core.store import Store, write_bytes
from thresher.jobs import Say
from thresher.pilot import pilot
from thresher.planning.recommendation import to_dict
from thresher.planning.verdict import verdicts
from thresher.setting import Setting
from thresher.spec import Spec

PLAN = "plan.json"


def before(
    spec: Spec, path: Path, *, store: Store, budget: str, share: float, say: Say, tries: Sequence[str] = (),
    with_model: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """The plan of a recipe's methods, written before anything of it runs; one that is there already is read.

    Args:
        spec: of the run that is to come; nothing but its pool, target, models, methods and recipe is looked at.
        path: of the file that is left.
        store: where measurements rest; the pilot's are its own.
        budget: in FLOPs, hours or dollars, for choosing, training and the pilot.
        share: of the budget that the pilot may take.
        say: told what goes on.
        tries: methods of the recipe that the pilot tries; none means as many as its share pays for.
        with_model: the pilot trains the model itself instead of the scorer: dearer, but its random rows are evidence
            of the very job, and what the plan expects is a score.

    Raises:
        BudgetError: a budget that pays for no pilot or no candidate.
    """
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    setting = Setting.open(spec.sources, store=store, recipe=spec.recipe)
    names = [arm.method for arm in spec.arms if methods.get(arm.method).train == "subset"]
    piloted = setting
    if with_model:
        piloted = replace(setting, sources=replace(setting.sources, scorer=None), scorer=None)
    tried = pilot(piloted, share, budget, names=tries or names, say=say)
    (made,) = planner.plans(setting, [budget], names=names, pilot=tried)
    said = to_dict(made)
    notes = [tried.note, *(note for note in made.predictor.notes if note != tried.note)]
    said = {**said, "notes": notes, "pilot_flops": tried.flops}
    write_bytes(path, json.dumps(said, indent=1, ensure_ascii=False).encode())
    return said


def after(plan: dict[str, Any], run: Path) -> list[dict[str, Any]]:
    """The run's verdicts on a plan, a panel each; both are left in the run's folder, for its page."""
    found = verdicts(plan, json.loads((run / "frontier.json").read_text(encoding="utf-8")))
    write_bytes(run / PLAN, json.dumps({**plan, "verdicts": found}, indent=1, ensure_ascii=False).encode())
    return found
