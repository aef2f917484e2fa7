"""A column is read as it is, or the user is told what is wrong with it."""

from __future__ import annotations

import pytest

from thresher import pipeline
from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.errors import NonFinite, PoolError
from thresher.signals.column import Column


def pool_of(*rows: dict) -> Pool:
    messages = [[{"role": "text", "content": f"row {i}"}] for i in range(len(rows))]
    return Pool.from_messages(messages, origin=list(rows))


def values(pool: Pool, **fields) -> list[float]:
    return Column(**fields).measure(None, pool).tolist()


def test_numbers_and_numbers_as_text():
    assert values(pool_of({"q": 1}, {"q": 2.5}, {"q": "-3e1"}), column="q") == [1, 2.5, -30]


def test_a_product_is_summed_over_turns():
    pool = pool_of({"c": [1, 2, 3], "q": [4, 5, 6]}, {"c": 2, "q": 5})
    assert values(pool, column="c", times="q") == [32, 10]
    with pytest.raises(PoolError, match="different numbers of turns"):
        values(pool_of({"c": [1, 2], "q": 3}), column="c", times="q")


def test_a_column_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(
        PoolError, match=r"row 'row-1': no column called 'qualty'.*Did you mean 'quality'.*Known: q, quality"
    ):
        values(pool_of({"qualty": 1}, {"quality": 1, "q": 2}), column="qualty")


@pytest.mark.parametrize("bad", ["good", None, {"a": 1}])
def test_what_is_no_number_is_shown(bad):
    with pytest.raises(PoolError, match=r"row 'row-1': column 'q' holds .*, which is not a number"):
        values(pool_of({"q": 1}, {"q": bad}), column="q")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), "nan"])
def test_a_number_that_is_not_finite_stops_and_names_the_row(bad, store: Store):
    with pytest.raises(NonFinite, match=r"not a finite number in 1 rows, first ids \['row-1'\]"):
        pipeline.measure(Column(column="q"), pool_of({"q": 1}, {"q": bad}), store=store)


def test_a_changed_column_is_measured_again(store: Store):
    one, other = pool_of({"q": 1}, {"q": 2}), pool_of({"q": 1}, {"q": 3})
    assert one.fingerprint == other.fingerprint, "the messages are the same"
    assert pipeline.measure(Column(column="q"), one, store=store).values.tolist() == [1, 2]
    assert pipeline.measure(Column(column="q"), other, store=store).values.tolist() == [1, 3]
