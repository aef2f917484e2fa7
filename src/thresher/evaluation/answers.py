"""Answers: where one stands in a text, and when two are the same.

Rules of `normalise`, applied in turn; of two answers that are equal afterwards one is right:

none         as it is written, without white space around it
text         spaces, then case
spaces       white space is one space
case         lower case
punctuation  none of it
articles     a, an and the are left out
number       1,200.00 and $1200 are the same; what has no number is empty
letter       the first letter, as a capital: (B) and b are the same; what has none is empty
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import regex

from thresher.core.pool import Pool
from thresher.core.suggest import unknown
from thresher.errors import TaskError

if TYPE_CHECKING:
    from thresher.evaluation.task import Task

SECONDS = 5.0  # for one pattern in one text, which takes some microseconds


def number(text: str) -> str:
    """A number without its dress: 1,200.00 and $1200 are the same; empty where there is none."""
    found = re.search(r"-?\d[\d,]*(?:\.\d+)?|-?\.\d+", text.replace("$", ""))
    if found is None:
        return ""
    value = float(found.group().replace(",", ""))
    return str(int(value)) if value == int(value) else repr(value)


def letter(text: str) -> str:
    """The first letter as a capital; empty where there is none."""
    found = re.search(r"[A-Za-z]", text)
    return found.group().upper() if found else ""


def spaces(text: str) -> str:
    """White space is one space, and none around."""
    return " ".join(text.split())


RULES: dict[str, Callable[[str], str]] = {
    "none": str.strip,
    "text": lambda text: spaces(text).casefold(),
    "spaces": spaces,
    "case": str.casefold,
    "punctuation": lambda text: text.translate(str.maketrans("", "", string.punctuation)),
    "articles": lambda text: spaces(re.sub(r"\b(?:a|an|the)\b", " ", text, flags=re.IGNORECASE)),
    "number": number,
    "letter": letter,
}


def comparable(answer: str, rules: Sequence[str]) -> str:
    """An answer as it is compared."""
    for rule in rules:
        answer = RULES[rule](answer)
    return answer


def extracted(written: str, patterns: Sequence[str], take: str) -> str:
    """Group 1 of the last (or first) match of the first pattern that is found; the whole text without a pattern.

    Raises:
        TaskError: a pattern that takes far too long.
    """
    if not patterns:
        return written.strip()
    for pattern in patterns:
        try:
            found = regex.findall(pattern, written, timeout=SECONDS)
        except TimeoutError:
            raise TaskError(
                f"extract {pattern!r} looked for an answer in {len(written):,} characters for over {SECONDS:g} s: such "
                "a pattern can take for ever. Repeat no repetition in it, as (a|aa)+ does."
            ) from None
        if found:
            one = found[-1] if take == "last" else found[0]
            return (one if isinstance(one, str) else one[0]).strip()
    return ""


def references(task: Task, pool: Pool) -> list[str]:
    """(n,) the right answers.

    Raises:
        TaskError: the column is missing or an answer is empty.
    """
    if task.answer is None:
        found = [task.extracted(text) for text in pool.answer()]
    else:
        found = column(task.task, pool, task.answer)
    empty = [pool.table["id"][i].as_py() for i, text in enumerate(found) if not task.comparable(text)]
    if empty:
        rows = f"row {empty[0]}" if len(empty) == 1 else f"{len(empty)} rows ({', '.join(empty[:3])})"
        raise TaskError(
            f"task {task.task}: {rows} of {pool.name} {'has' if len(empty) == 1 else 'have'} no reference answer. "
            "Mend the row, or name the column with `answer`."
        )
    return found


def column(task: str, pool: Pool, name: str) -> list[str]:
    """(n,) one of the user's own columns as text; what is null is empty.

    Raises:
        TaskError: no row has it.
    """
    rows = list(pool.origin())
    if rows and not any(name in row for row in rows):
        raise TaskError(f"task {task}: {pool.name} has no column {name!r}; it has {', '.join(rows[0])}.")
    return ["" if row.get(name) is None else str(row[name]) for row in rows]


def check_pattern(task: str, pattern: str) -> None:
    """A regular expression with a group.

    Raises:
        TaskError: it is none, or has no group.
    """
    try:
        groups = re.compile(pattern).groups
        regex.compile(pattern)
    except (re.error, regex.error, OverflowError, RecursionError) as error:
        raise TaskError(f"task {task}: extract is not a regular expression: {error}.") from None
    if groups < 1:
        raise TaskError(f"task {task}: extract needs one group in brackets around the answer.")


def check_rules(task: str, rules: Sequence[str]) -> None:
    """Rules that exist.

    Raises:
        TaskError: one does not.
    """
    for rule in rules:
        if rule not in RULES:
            raise TaskError(f"task {task}: " + unknown("rule of normalise", str(rule), RULES))
