"""Which words of a row a lexical method or an encoder reads, and a target group as one text."""

from __future__ import annotations

from typing import Literal

import numpy as np

from thresher.core.pool import Message, Pool

Text = Literal["row", "prompt", "answer", "first_user"]


def texts(rows: Pool, which: Text) -> list[str]:
    """(b,) the words of each row."""
    if which == "first_user":
        return [first_user_of(messages) for messages in rows.messages()]
    return {"row": rows.text, "prompt": rows.prompt, "answer": rows.answer}[which]()


def first_user_of(messages: list[Message]) -> str:
    """The first message of the user; of a row without one, nothing."""
    return next((m["content"] for m in messages if m["role"] == "user"), "")


def in_markers(messages: list[Message]) -> str:
    """The turns of a row with their roles, as one string."""
    return "\n".join(f"<|{m['role']}|>\n{m['content']}" for m in messages)


def group_texts(target: Pool) -> list[str]:
    """One text a group, its rows in markers, joined: first the rows without a group, then groups by name."""
    marked = [in_markers(messages) for messages in target.messages()]
    group = target.group_index()
    return ["".join(marked[i] for i in np.flatnonzero(group == g)) for g in np.unique(group)]
