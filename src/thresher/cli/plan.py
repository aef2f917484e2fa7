"""Before anything runs: every candidate priced and predicted, one recommended."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from thresher.cli import _options as options

if TYPE_CHECKING:
    from thresher.pilot import Pilot
    from thresher.planning.plan import Plan
    from thresher.setting import Setting


@click.command(name="plan")
@click.argument("pool")
@click.option("--target", "targets", metavar="T", multiple=True, help="A target file; may be given several times.")
@options.model
@click.option("--scorer", "scorers", metavar="M", multiple=True, help="A model that may read the pool; or several.")
@options.encoder
@click.option(
    "--budget", "budgets", metavar="B", multiple=True,
    help="5% | 2000 rows | 4M tokens | 2e17 flops | 3 gpu-hours | $20; or several [3, 10, 30 % of a full run].",
)
@click.option("--methods", "names", metavar="A,B", help="Methods that are considered [one of each kind].")
@click.option("--history", metavar="RESULTS", multiple=True, help="Earlier results: .csv, .parquet or a run's folder.")
@click.option("--history-task", metavar="TASK", help="The task that is planned for, where the history has several.")
@click.option("--pilot", metavar="SHARE", help="Spend this share of the smallest budget on a pilot first: 10%.")
@click.option("--task", type=Path, metavar="TASK.yaml", help="What the pilot scores with [half of the target's rows].")
@click.option("--shared-by", type=int, default=1, show_default=True, help="Jobs that share one reading of the pool.")
@click.option("--each-target", is_flag=True, help="Plan every target apart; they share one reading of the pool.")
@options.recipe
@options.reading
@click.option("--hardware", metavar="NAME", help="For hours and dollars [this machine].")
@click.option("--usd-per-hour", type=float, help="Your own price of that hardware.")
@options.trust
@options.store
@options.as_json
def command(
    pool: str, targets: tuple[str, ...], model: str | None, scorers: tuple[str, ...], encoder: str | None,
    budgets: tuple[str, ...], names: str | None, history: tuple[str, ...], history_task: str | None, pilot: str | None,
    task: Path | None, shared_by: int,
    each_target: bool, recipe: Path | None, format_: str | None, group: str | None, skip_bad: bool,
    hardware: str | None, usd_per_hour: float | None, trust_remote_code: bool, store: str | None, as_json: bool,
) -> None:  # fmt: skip
    """What to do with POOL, target, model and budget: which method and scorer, on how many rows, or nothing at all."""
    from thresher import planner
    from thresher.cli import _plans
    from thresher.planning import results
    from thresher.planning.recommendation import to_dict
    from thresher.setting import Setting, Sources

    chosen = [name.strip() for name in names.split(",")] if names else []
    known = results.read(list(history)) if history else None
    jobs = [(target,) for target in targets] if each_target and targets else [targets]
    found: list[tuple[str, Plan]] = []
    for target in jobs:
        sources = Sources(
            pool=pool, target=target, model=model, scorer=scorers[0] if scorers else None, encoder=encoder,
            format=format_, group=group, skip_bad=skip_bad, hardware=hardware, usd_per_hour=usd_per_hour,
            trust_remote_code=trust_remote_code,
        )  # fmt: skip
        setting = Setting.open(sources, store=options.store_of(store), recipe=options.read_recipe(recipe))
        seen = None
        if pilot is not None:
            seen = _pilot(setting, pilot, budgets, chosen, task)
        made = planner.plans(
            setting, budgets, scorers=scorers, names=chosen, history=known, task=history_task,
            shared_by=shared_by * len(jobs), pilot=seen,
        )  # fmt: skip
        found += [(" + ".join(target), one) for one in made]
    if as_json:
        documents = [{"target": target, **to_dict(one)} for target, one in found]
        options.print_json({**documents[0], "plans": documents} if len(documents) > 1 else documents[0])
        return
    for target, one in found:
        job, whose = one.ask.job, f"{target}: " if each_target and target else ""
        _plans.show(to_dict(one), f"{whose}{job.pool}, {job.model}, {one.ask.budget}")


def _pilot(setting: Setting, share: str, budgets: tuple[str, ...], names: list[str], task: Path | None) -> Pilot:
    """A share of the smallest budget."""
    from thresher.core.budget import Budget
    from thresher.errors import BudgetError
    from thresher.evaluation.task import Task
    from thresher.pilot import pilot

    number = share.strip().rstrip("%")
    try:
        part = float(number) / (100 if share.strip().endswith("%") else 1)
    except ValueError:
        raise BudgetError(f"--pilot {share!r} is no share of the budget, such as 10% or 0.1.") from None
    if not budgets:
        raise BudgetError("a pilot takes a share of the budget: name one with --budget.")
    smallest = min(budgets, key=lambda text: Budget.parse(text, len(setting.pool)).amount)
    return pilot(
        setting, part, smallest, names=names, task=None if task is None else Task.read(task),
        say=lambda line: options.echo(line, err=True),
    )  # fmt: skip
