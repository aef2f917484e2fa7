"""What a race came to: the winner and how sure that is, the bill, and what the full grid would have cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thresher.planning.course import Course
from thresher.planning.difference import Difference, paired

_DIGITS = 4


def finish(course: Course) -> dict[str, Any]:
    """Plain values, for race.json: rounds, winner, bill and one sentence."""
    winner = course.finalists[0]
    rival = next((arm for arm in course.finalists[1:]), None)
    lead = None if rival is None else _lead(course, winner, rival)
    bill = bill_of(course)
    return {
        "sentence": sentence(course, bill, lead),
        "higher_is_better": course.higher,
        "keep": course.keep,
        "budget": course.budget,
        "bill": bill,
        "winner": _arm(course, winner),
        "rival": None if rival is None else {**_arm(course, rival), "lead": None if lead is None else lead.to_dict()},
        "left_out": course.left_out,
        "rounds": [
            {
                "kind": one.kind,
                "size": None if one.rung is None else course.sizes[one.rung],
                "seed": one.seed,
                "ran": [
                    {
                        "contender": cell.contender,
                        "size": course.sizes[cell.rung],
                        "score": course.outcomes[cell].score,
                        "selection_flops": course.outcomes[cell].selection_flops,
                        "training_flops": course.outcomes[cell].training_flops,
                    }
                    for cell in one.ran
                ],
                "stopped": one.stopped,
                "spent": one.spent,
            }
            for one in course.rounds
        ],
    }


def bill_of(course: Course) -> dict[str, float]:
    """FLOPs spent, by what for; and the price of every contender at every size under every seed.

    `winner` is what the winner alone would have cost: its choosing and its training at its size, once a seed it ran.
    """
    winner = course.finalists[0]
    mine = [one for cell, one in course.outcomes.items() if cell.arm == winner]
    chosen = sum(one.selection_flops for cell, one in course.outcomes.items() if cell.contender == winner[0])
    alone = chosen + sum(one.training_flops for one in mine)
    selection = sum(one.selection_flops for one in course.outcomes.values())
    grid = sum(
        one.selection + len(course.seeds) * sum(course.training(one.name, rung) for rung in one.training)
        for one in course.contenders.values()
    )
    return {
        "spent": course.spent,
        "selection": selection,
        "training": course.spent - selection,
        "winner": alone,
        "race": course.spent - alone,
        "grid": grid,
        "saved": 1 - course.spent / grid,
        "over": max(0.0, course.spent - course.budget),
    }


def sentence(course: Course, bill: Mapping[str, float], lead: Difference | None) -> str:
    """Who won, over whom and how surely, for how much of what the full grid costs."""
    winner = course.finalists[0]
    score = f"{course.mean(winner):.{_DIGITS}g}"
    if _all_equal(course):
        won = f"Nothing told the contenders apart: all scored {score}, and {course.named(winner)} is the cheapest"
    else:
        won = f"{course.named(winner)} won the race with {score}{_over(course, lead)}"
    left = f" {len(course.left_out)} did not start." if course.left_out else ""
    cost = (
        f"The race cost {bill['spent']:.3g} FLOPs, {_share(bill['race'], bill['spent'])} of it on runs other than the "
        f"winner's and {_share(bill['selection'], bill['spent'])} on choosing; the full grid would have cost "
        f"{bill['grid']:.3g}."
    )
    idle = ""
    if _forgotten(course):
        idle = f" The budget would have paid for the whole pool ({course.whole:.3g}), which was not run."
    over = f" That is {_share(bill['over'], course.budget)} over the budget." if bill["over"] else ""
    return f"{won}. {cost}{over}{idle}{left}"


def _forgotten(course: Course) -> bool:
    """Whether training on everything was within the budget and nobody tried."""
    tried = max(one.training_flops for one in course.outcomes.values())
    return course.whole is not None and course.whole <= course.budget and tried < 0.98 * course.whole


def _all_equal(course: Course) -> bool:
    return len({one.score for one in course.outcomes.values()}) == 1


def _over(course: Course, lead: Difference | None) -> str:
    if len(course.finalists) < 2:
        return ""
    rival = course.finalists[1]
    text = f", {course.named(rival)} second with {course.mean(rival):.{_DIGITS}g}"
    if lead is None or lead.low is None or lead.high is None:
        return f"{text} (one seed each: nobody knows how much of that is chance)"
    sure = "" if lead.above else ": undecided"
    return f"{text} (95 % interval of the lead {lead.low:+.3g} to {lead.high:+.3g}, {lead.seeds} paired seeds{sure})"


def _lead(course: Course, first: tuple[str, int], second: tuple[str, int]) -> Difference | None:
    return paired(course.scores(first), course.scores(second), 1.0 if course.higher else -1.0)


def _arm(course: Course, arm: tuple[str, int]) -> dict[str, Any]:
    return {
        "contender": arm[0],
        "size": course.sizes[arm[1]],
        "score": course.mean(arm),
        "seeds": sorted(course.scores(arm)),
        "one_use_flops": course.cost(arm),
    }


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.3g} %"
