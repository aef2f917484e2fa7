"""What is known before a job: this very job's runs, other jobs of the user, published results."""

from __future__ import annotations

import numpy as np

from thresher.errors import ResultsError
from thresher.planning.arms import arms
from thresher.planning.offers import Job
from thresher.planning.payoff import break_even, size_ratios
from thresher.planning.prior import Prior
from thresher.planning.results import Panel, Results
from thresher.setting import Setting


def evidence(
    setting: Setting, job: Job, history: Results | None, task: str | None
) -> tuple[Prior, Panel | None, list[str]]:
    """What others saw, this job's own runs, and what to say of both.

    Raises:
        ResultsError: several tasks of this very job and none named, or none of that name.
    """
    prior, notes = Prior.published(), ["published results of other pools and models are a weak prior"]
    if history is None:
        return prior, None, notes
    panels = history.panels()
    if task is not None:
        if task not in {panel.task for panel in panels}:
            raise ResultsError(
                f"the history has no task {task!r}; it has {', '.join(sorted({p.task for p in panels}))}."
            )
        panels = [panel for panel in panels if panel.task == task]
    ratios = size_ratios([{"break_even": break_even(panel, arms(panel))} for panel in panels])
    notes += [f"by the history, {one['sentence'].rstrip('.')}" for one in ratios]
    mine = [panel for panel in panels if _same_job(panel, setting, job)]
    if len(mine) > 1:
        raise ResultsError(
            f"the history has several tables of this very job: {', '.join(_named(p) for p in mine)}. "
            "Say which task is meant with --history-task."
        )
    others = [panel for panel in panels if panel not in mine]
    for panel in others:
        notes.append(f"history of another job, used as a prior only: {_why_not(panel, setting, job)}")
    return prior + Prior.of(others), mine[0] if mine else None, notes


def _named(panel: Panel) -> str:
    return f"{panel.task} {panel.metric} {panel.protocol}".strip()


def _same_model(panel: Panel, setting: Setting, job: Job) -> bool:
    params = panel.runs[0].model_params
    if panel.model == setting.sources.model:
        return True
    return bool(params and job.model_params and abs(params / job.model_params - 1) < 1e-6)


def _same_pool(panel: Panel, setting: Setting) -> bool:
    """By name, else by the rows that its shares say the pool has."""
    if panel.pool:
        return panel.pool == setting.pool.name
    rows = [run.rows / run.fraction for run in panel.runs if run.rows and run.fraction]
    return bool(rows) and abs(float(np.median(rows)) / len(setting.pool) - 1) < 0.01


def _same_job(panel: Panel, setting: Setting, job: Job) -> bool:
    return _same_model(panel, setting, job) and _same_pool(panel, setting)


def _why_not(panel: Panel, setting: Setting, job: Job) -> str:
    reasons = []
    if not _same_pool(panel, setting):
        reasons.append(f"pool {panel.pool or 'not named'} instead of {setting.pool.name}")
    if not _same_model(panel, setting, job):
        reasons.append(f"model {panel.model} instead of {setting.sources.model}")
    return f"{panel.task}, {', '.join(reasons)}"
