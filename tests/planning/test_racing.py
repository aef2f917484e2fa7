"""Laws of the race: the best is found, losers stop, nothing is spent that is not there, and all of it is charged."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from thresher.errors import BudgetError, RecipeError
from thresher.planning.course import Cell, Contender, Course, Outcome
from thresher.planning.finish import finish
from thresher.planning.racing import race

SIZES = ("1 %", "5 %", "10 %", "20 %")
TRAINING = {0: 1.0, 1: 5.0, 2: 10.0, 3: 20.0}
GAIN = {"random": 0.0, "bm25": 2.0, "ppl": 3.0, "less": 9.0, "longest": -2.0, "embed": 1.0}
SELECTION = {"ppl": 4.0, "less": 30.0}


def contenders(*names: str) -> list[Contender]:
    return [
        Contender(name=name, training=TRAINING, selection=SELECTION.get(name, 0.0), control=name == "random")
        for name in names or GAIN
    ]


class Track:
    """Scores that are known; what was asked for is kept."""

    def __init__(self, sign: float = 1.0, noise: float = 0.0, flat: bool = False) -> None:
        self.asked: list[Cell] = []
        self.sign, self.noise, self.flat = sign, noise, flat

    def __call__(self, cells: Sequence[Cell]) -> list[Outcome]:
        chosen = {cell.contender for cell in self.asked}
        self.asked += cells
        new = {name: flops for name, flops in SELECTION.items() if name not in chosen}
        return [Outcome(self.score(cell), TRAINING[cell.rung], new.get(cell.contender, 0.0)) for cell in cells]

    def score(self, cell: Cell) -> float:
        if self.flat:
            return 50.0
        luck = self.noise * ((hash((cell.rung, cell.seed)) % 7) - 3 + 0.01 * cell.seed * len(cell.contender))
        return self.sign * (40 + GAIN[cell.contender] + 2 * cell.rung + luck)


def go(track: Track, budget: float, *names: str, **more: object) -> Course:
    return race(contenders(*names), (0, 1, 2), budget, track, sizes=SIZES, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("sign", [1.0, -1.0], ids=["higher", "lower"])
def test_the_best_contender_wins_at_its_best_size_and_losers_stop_early(sign: float):
    track = Track(sign)
    course = go(track, 1e4, higher=sign > 0)
    assert course.finalists[0] == ("less", 3)
    assert {cell.rung for cell in track.asked if cell.contender == "longest"} == {0}
    assert "longest" in course.rounds[0].stopped
    assert len(track.asked) < len(GAIN) * len(SIZES) * 3 / 2


def test_the_control_is_in_every_climb_and_beside_the_winner_under_every_seed():
    course = go(Track(noise=0.1), 1e4)
    for one in course.rounds:
        assert "random" in {cell.contender for cell in one.ran}
    assert set(course.scores(("random", 3))) == set(course.scores(course.finalists[0])) == {0, 1, 2}


@pytest.mark.parametrize("budget", [41.0, 50.0, 80.0, 100.0, 150.0, 300.0, 1000.0])
def test_the_budget_is_never_exceeded_and_everything_is_on_the_bill(budget: float):
    track = Track()
    course = go(track, budget)
    training = sum(TRAINING[cell.rung] for cell in track.asked)
    selection = sum(SELECTION.get(name, 0.0) for name in {cell.contender for cell in track.asked})
    bill = finish(course)["bill"]
    assert bill["spent"] == course.spent == training + selection <= budget
    assert (bill["selection"], bill["training"]) == (selection, training)
    assert bill["winner"] + bill["race"] == pytest.approx(bill["spent"])
    assert bill["grid"] == sum(SELECTION.values()) + 3 * sum(TRAINING.values()) * len(GAIN)
    assert len(set(track.asked)) == len(track.asked), "no run is paid twice"


def test_a_larger_budget_never_gives_a_worse_winner_where_scores_keep_their_order():
    won = [go(Track(), budget).finalists[0] for budget in (41.0, 60.0, 80.0, 120.0, 200.0, 400.0)]
    heights = [GAIN[name] + 2 * rung for name, rung in won]
    assert heights == sorted(heights)
    assert heights[-1] == GAIN["less"] + 6


def test_all_equal_names_the_cheapest_and_says_so():
    course = go(Track(flat=True), 1e4)
    assert course.cost(course.finalists[0]) == min(TRAINING.values())
    assert "Nothing told the contenders apart" in finish(course)["sentence"]


def test_a_certain_loser_gets_no_third_seed():
    track = Track()
    course = go(track, 1e4, "random", "bm25", "ppl", keep=0.9)
    assert any("behind ppl" in why for one in course.rounds for why in one.stopped.values())
    assert {cell.seed for cell in track.asked if cell.contender == "bm25"} == {0, 1}


def test_choosing_that_costs_what_everything_costs_does_not_start():
    track = Track()
    course = go(track, 1e4, whole=25.0)
    assert "less" in course.left_out
    assert "less" not in {cell.contender for cell in track.asked}
    assert course.finalists[0] == ("ppl", 3)
    assert "1 did not start" in finish(course)["sentence"]


def test_a_contender_of_one_large_size_enters_there():
    full = Contender(name="full", training={4: 100.0}, control=True)
    track = Track()
    TRAINING_ALL = {**TRAINING, 4: 100.0}

    def run(cells: Sequence[Cell]) -> list[Outcome]:
        if cells[0].contender != "full":
            return track(cells)
        return [Outcome(99.0, TRAINING_ALL[cell.rung]) for cell in cells]

    course = race([*contenders("random", "bm25"), full], (0,), 1e3, run, sizes=(*SIZES, "the whole pool"))
    assert course.finalists[0] == ("full", 4)
    assert [one.rung for one in course.rounds] == [0, 1, 2, 3, 4]
    poor = race([*contenders("random", "bm25"), full], (0,), 90.0, run, sizes=(*SIZES, "the whole pool"))
    assert poor.finalists[0] == ("bm25", 3)
    some = race([*contenders("random", "bm25"), full], (0,), 103.0, run, sizes=(*SIZES, "the whole pool"))
    assert [one.rung for one in some.rounds] == [0, 4], "its price is not raced away"
    assert some.spent == 102.0


def test_interrupted_it_decides_the_same_again():
    whole, done = go(Track(noise=0.3), 300.0), {}

    class Stopping(Track):
        def __call__(self, cells: Sequence[Cell]) -> list[Outcome]:
            found = []
            for cell, one in zip(cells, super().__call__(cells), strict=True):
                if cell not in done and len(done) == 9 and not self.flat:
                    raise KeyboardInterrupt
                found.append(done.setdefault(cell, one))
            return found

    with pytest.raises(KeyboardInterrupt):
        go(Stopping(noise=0.3), 300.0)
    assert len(done) == 9
    again = go(Track(noise=0.3), 300.0)
    assert finish(again) == finish(whole)
    assert set(done) <= set(again.outcomes)


def test_one_contender_is_no_race():
    with pytest.raises(RecipeError, match="two contenders at least; this one has bm25"):
        go(Track(), 1e4, "bm25")
    with pytest.raises(RecipeError, match="less is left out"):
        go(Track(), 1e4, "bm25", "less", whole=20.0)


def test_a_budget_below_the_first_round_names_the_prices():
    track = Track()
    with pytest.raises(BudgetError, match=r"costs 40 FLOPs \(random 1, .*less 31"):
        go(track, 39.0)
    assert track.asked == []


def test_prices_that_were_too_low_are_mended_by_what_was_paid():
    class Dear(Track):
        def __call__(self, cells: Sequence[Cell]) -> list[Outcome]:
            return [Outcome(one.score, 3 * one.training_flops, one.selection_flops) for one in super().__call__(cells)]

    track = Dear()
    course = go(track, 180.0)
    assert course.spent <= 180.0
    assert any("the budget" in why for one in course.rounds for why in one.stopped.values())


def test_a_share_that_is_none():
    with pytest.raises(RecipeError, match="between 0 and 1, not 1"):
        go(Track(), 1e4, keep=1.0)
