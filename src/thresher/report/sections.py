"""Which sections a page has besides the fixed ones: one line each, in the order of the page.

A section's function is given the folder (a selection's or a run's), reads what rests there, and returns nothing where
there is nothing to show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from thresher.report.arms import arms
from thresher.report.chosen import compared
from thresher.report.clusters import clusters
from thresher.report.contamination import contamination
from thresher.report.foreseen import foreseen
from thresher.report.paired import paired
from thresher.report.payoff import payoff
from thresher.report.race import race
from thresher.report.section import Section
from thresher.report.shift import shift
from thresher.report.spending import spending
from thresher.report.theory import theory
from thresher.report.transport import transport
from thresher.report.unscored import unscored

SECTIONS: tuple[Callable[[Path], list[Section]], ...] = (
    contamination, foreseen, race, spending, paired, payoff, shift, clusters, theory, transport,
)  # fmt: skip


def sections_of(folder: Path, *, beside: Sequence[Path] = (), in_domain: Sequence[str] = ()) -> list[Section]:
    """Every section that has something to show; `arms` and `compared` are told what else the user asked for."""
    found = [*unscored(folder), *arms(folder, in_domain=in_domain), *compared(folder, beside)]
    return [*found, *(section for sections in SECTIONS for section in sections(folder))]
