"""Numbers as words, and the frontier as rows of text: for the page and for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Number = int | float  # what JSON gives
FRONTIER_HEAD = (
    "method",
    "size",
    "rows",
    "runs",
    "score",
    "selection",
    "training",
    "total",
    "against random",
    "verdict",
)
RECEIPT_HEAD = (
    "stage",
    "estimated FLOPs",
    "counted FLOPs",
    "ratio",
    "tokens",
    "time",
    "peak memory",
    "device",
)
NOTHING = "–"


def flops(amount: Number | None) -> str:
    """`1.15e18`, as a budget is written; 0 as 0."""
    if amount is None:
        return NOTHING
    if amount == 0:
        return "0"
    digits, exponent = f"{amount:.2e}".split("e")
    return f"{digits}e{int(exponent)}"


def percent(share: Number | None) -> str:
    """`2.5 %` of 0.025."""
    return NOTHING if share is None else f"{100 * share:.3g} %"


def count(number: Number | None) -> str:
    """Whole numbers in groups of three."""
    return NOTHING if number is None else f"{number:,.0f}".replace(",", "\u202f")


def number(value: Number | None, digits: int = 4) -> str:
    """Significant digits, without an exponent where it is readable."""
    if value is None:
        return NOTHING
    return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"


def score(value: Number, se: Number | None) -> str:
    """`45.67 ± 0.12`: decimals follow the standard error."""
    if not se:
        return number(value)
    decimals = max(0, min(6, 1 - int(f"{se:e}".split("e")[1])))
    return f"{value:.{decimals}f} ± {se:.{decimals}f}"


def seconds(amount: Number | None) -> str:
    """`12.3 s`, `4 min 05 s`, `2 h 03 min`."""
    if amount is None:
        return NOTHING
    if amount < 60:
        return f"{amount:.3g} s"
    whole = round(amount)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size_bytes(amount: Number | None) -> str:
    """`1.2 GB`, decimal units."""
    if not amount:
        return NOTHING
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if amount >= scale:
            return f"{amount / scale:.3g} {unit}"
    return f"{amount:.0f} B"


def against_random(entry: Mapping | None) -> str:
    """`+1.2 [0.3, 2.1], p 0.04`: lead and 95 % interval over random at the same total compute.

    The interval is this comparison's own; p is Holm's, for all of the panel's comparisons together. Where random was
    not run as far there is no such lead: the one over its last run stands, and for how much more compute.
    """
    if entry is None:
        return NOTHING
    lead = f"{entry['difference']:+.3g}"
    if entry.get("random_reaches"):
        return f"not measured ({lead} for {1 / entry['random_reaches']:.3g}x its last run)"
    if entry["low"] is None:
        return lead
    together = entry.get("p_holm")
    p = "" if together is None else f", p {together:.2g}"
    return f"{lead} [{entry['low']:.3g}, {entry['high']:.3g}]{p}"


def verdict(arm: Mapping) -> str:
    """The word, and by whom it is dominated."""
    if not arm.get("by"):
        return str(arm["verdict"])
    by = arm["by"]
    size = f" {percent(by['fraction'])}" if by.get("fraction") else ""
    how = "by" if arm["verdict"] == "dominated" else "against"
    return f"{arm['verdict']} {how} {by['method']}{size}"


def size(arm: Mapping) -> str:
    """The share of the pool, or the budget as it was asked for."""
    if arm.get("budget"):
        return str(arm["budget"])
    if arm.get("fraction"):
        return percent(arm["fraction"])
    return f"{count(arm['rows'])} rows" if arm.get("rows") else NOTHING


def label(arm: Mapping) -> str:
    """Method, and the scorer where one read the pool."""
    return f"{arm['method']} ({arm['scorer']})" if arm.get("scorer") else str(arm["method"])


def frontier_rows(panel: Mapping) -> list[list[str]]:
    """One row of text per arm, under FRONTIER_HEAD, best score first."""
    best_first = sorted(
        panel["arms"], key=lambda arm: arm["score"], reverse=panel.get("higher_is_better", True)
    )
    return [
        [label(arm), size(arm), count(arm["rows"]), str(arm["runs"]), score(arm["score"], arm["se"]),
         flops(arm["selection_flops"]), flops(arm["training_flops"]), flops(arm["total_flops"]),
         against_random(arm.get("against_random")), verdict(arm)]
        for arm in best_first
    ]  # fmt: skip


def receipt_rows(receipts: Sequence[Mapping]) -> list[list[str]]:
    """One row of text per stage, under RECEIPT_HEAD: the price said before, and what was counted."""
    rows = []
    for receipt in receipts:
        said, done = receipt.get("estimated_flops"), receipt.get("flops")
        ratio = f"{said / done:.2f}" if said and done else NOTHING
        stage = f"{receipt.get('stage', '')}{' (read from the store)' if receipt.get('shared') else ''}"
        rows.append([stage, flops(said), flops(done), ratio, count(receipt.get("tokens")),
                     seconds(receipt.get("seconds")), size_bytes(receipt.get("peak_bytes")),
                     str(receipt.get("device", ""))])  # fmt: skip
    return rows


def facts(values: Mapping, leave_out: Sequence[str] = ()) -> list[tuple[str, str]]:
    """A nested record as (name, text) lines: `models.target`; lists joined, empty values left out."""
    lines: list[tuple[str, str]] = []
    for key, value in values.items():
        if key in leave_out or value in (None, "", [], {}):
            continue
        if isinstance(value, Mapping):
            lines += [(f"{key}.{name}", text) for name, text in facts(value, leave_out)]
        elif isinstance(value, (list, tuple)):
            lines.append((str(key), ", ".join(_text(item) for item in value)))
        else:
            lines.append((str(key), _text(value)))
    return lines


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {_text(item)}" for key, item in value.items())
    return str(value)
