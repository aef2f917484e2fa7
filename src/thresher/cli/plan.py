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
        _show(target if each_target else "", one)


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
        say=lambda line: click.echo(line, err=True),
    )  # fmt: skip


def _show(target: str, made: Plan) -> None:
    """The recommendation, the best of each method, and what would change it."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from thresher.planning.recommendation import to_dict

    said, out = to_dict(made), options.console()
    title = f"{target + ': ' if target else ''}{made.ask.job.pool}, {made.ask.job.model}, {made.ask.budget}"
    table = Table(title=Text(title), box=box.SIMPLE)
    unit = "utility" if made.predictor.unit == "utility" else made.predictor.unit
    for name in ("method", "rows", "choosing", "training", "hours", "$", f"expected {unit}", "from"):
        table.add_column(name, no_wrap=name == "method")
    for line in said["best_of_each"]:
        table.add_row(*map(Text, _cells(line)))
    out.print(table)
    out.print(Text(str(said["reason"])))
    for sentence in said["would_change"]:
        out.print(Text(f"- {sentence}"))
    for note in said["notes"]:
        out.print(Text(f"note: {note}"))
    for one in said["not_usable"]:
        out.print(Text(f"not priced: {one['method']}: {one['why']}"))


def _cells(line: dict) -> tuple[str, ...]:
    name = f"{line['method']} ({line['scorer']})" if line["scorer"] else line["method"]
    money = "" if line["usd"] is None else f"{line['usd']:.3g}"
    score = f"{line['score']:.3g} ({line['low']:.3g} to {line['high']:.3g})"
    return (
        name, f"{line['rows']:,} ({100 * line['fraction']:.3g} %)", f"{line['selection_flops']:.3g}",
        f"{line['training_flops']:.3g}", "" if line["hours"] is None else f"{line['hours']:.3g}", money,
        score if line["affordable"] else f"{score}; over budget", line["basis"],
    )  # fmt: skip
