"""The main job on a built-in pool with models trained from scratch; nothing is downloaded."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

import click

from thresher.cli import _options as options

BUDGET = "1e12 flops"  # of one job: the larger of the demo's two sizes, and a pilot
SHARE = 0.4  # of it for the pilot: on fewer than a hundred rows it would say nothing
TRIES = ("random", "bm25")


@click.command(name="demo")
@click.option(
    "--out", type=Path, default=Path("thresher-demo"), show_default=True, metavar="DIR", help="The run's folder."
)
@options.as_json
def command(out: Path, as_json: bool) -> None:
    """Five methods, two budgets, two seeds on a pool with a planted truth: which was worth its compute?

    Before it runs, a plan says what it would do, from published results and a small pilot; the run judges it.
    """
    from thresher import foresight
    from thresher.card import command_line
    from thresher.cli import _plans, _tables
    from thresher.core.store import Store
    from thresher.run import run
    from thresher.spec import Spec

    with as_file(files("thresher") / "demo.yaml") as recipe:
        spec = Spec.read(recipe)
    say = lambda line: options.echo(line, err=True)  # noqa: E731
    store = Store(out / "store")
    plan = foresight.before(
        spec, out / "plan.json", store=store, budget=BUDGET, share=SHARE, say=say, tries=TRIES, with_model=True
    )
    if not as_json:
        _plans.show(plan, f"before the run: {spec.sources.pool}, {spec.sources.model}, {plan['budget']['asked']}")
    folder = run(spec, out / "run", store=store, command=command_line(), say=say)
    verdicts = foresight.after(plan, folder)
    if not as_json:
        _truth(folder / "selections")
    _tables.finish(folder, as_json)
    if not as_json:
        _plans.judge(verdicts)


def _truth(selections: Path) -> None:
    """What each method took of what was planted: the demo knows the truth, the methods do not."""
    from thresher.data.synthetic import planted_shares

    options.echo("share of the chosen rows that teach the answer, by what was planted:")
    for folder in sorted(path.parent for path in selections.glob("*/card.json")):  # locks of theirs are there, too
        shares = planted_shares(folder / "selected.jsonl")
        relevant, wrong = shares.get("relevant", 0), shares.get("noisy", 0)
        options.echo(f"  {folder.name:32} relevant {relevant:4.0%}, wrong {wrong:4.0%}")
