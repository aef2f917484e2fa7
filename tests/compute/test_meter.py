"""Blocks and receipts."""

import mmap
import threading

import pytest

from thresher.compute import meter
from thresher.core.cost import Receipt


def test_what_is_counted_inside_reaches_every_block_around():
    with meter.block("outer", estimated_flops=10, kind="train") as outer:
        meter.count(flops=1, tokens=2)
        with meter.block("inner") as inner:
            meter.count(flops=4.5, tokens=3)
        meter.count(tokens=1)
    assert (inner.receipt().flops, inner.receipt().tokens) == (4.5, 3)
    receipt = outer.receipt()
    assert (receipt.flops, receipt.tokens, receipt.estimated_flops, receipt.kind) == (5.5, 6, 10.0, "train")
    assert receipt.device == "cpu"
    assert receipt.seconds >= inner.receipt().seconds >= 0
    assert Receipt.from_dict(receipt.to_dict()) == receipt


def test_counting_outside_any_block_does_nothing():
    meter.count(flops=1e9)
    with meter.block("later") as later:
        pass
    assert later.receipt().flops == 0


def fail_inside():
    """A block that ended with an exception after counting 7."""
    try:
        with meter.block("failing") as failing:
            meter.count(flops=7)
            raise KeyError
    except KeyError:
        return failing


def test_a_block_that_fails_still_has_its_receipt_and_closes():
    failing = fail_inside()
    meter.count(flops=1)
    assert failing.receipt().flops == 7
    assert failing.receipt() == failing.receipt(), "a closed receipt must not go on counting"


def touch(size: int) -> None:
    """Memory from the system, not from what the allocator has kept; every page written, then given back."""
    held = mmap.mmap(-1, size)
    held[:: mmap.PAGESIZE] = b"1" * len(range(0, size, mmap.PAGESIZE))
    held.close()


def test_a_peak_inside_an_inner_block_is_the_outer_blocks_peak_and_not_the_next_ones():
    with meter.block("outer") as outer:
        with meter.block("big") as big:
            touch(128 << 20)
        with meter.block("small") as small:
            pass
    if small.memory_source == "process":
        pytest.skip("this kernel does not reset the high-water mark: /proc/self/clear_refs cannot be written")
    assert small.memory_source == "rss"
    assert outer.receipt().peak_bytes >= big.receipt().peak_bytes
    assert big.receipt().peak_bytes > small.receipt().peak_bytes + (100 << 20)


def test_a_peak_before_an_inner_block_is_not_forgotten():
    with meter.block("outer") as outer:
        touch(128 << 20)
        with meter.block("inner") as inner:
            pass
    if inner.memory_source == "process":
        pytest.skip("this kernel does not reset the high-water mark: /proc/self/clear_refs cannot be written")
    assert outer.receipt().peak_bytes > inner.receipt().peak_bytes + (100 << 20)


def test_threads_count_for_themselves():
    with meter.block("main") as block:
        thread = threading.Thread(target=meter.count, kwargs={"flops": 5.0})
        thread.start()
        thread.join()
    assert block.receipt().flops == 0


def test_seconds_of_one_worker_of_four_count_a_quarter(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(meter, "_share", 1.0)
    with meter.block("work") as block:
        sum(range(100_000))
    alone = block.receipt()
    meter.has_share(0.25)
    assert block.receipt().seconds == pytest.approx(alone.seconds / 4)
    assert block.receipt().cpu_seconds == alone.cpu_seconds
