"""The shapes rows come in: one function per format, each turning a row into messages.

alpaca             instruction, input, output (system, history)
messages           messages: [{role, content, ...}], several turns, system and tool turns
sharegpt           conversations: [{from, value}]
prompt-completion  prompt and completion, or prompt and response, or question and answer
text               text: trained on as it stands, no template around it
classification     text and label, the label as the answer; never guessed, for the text alone is a pool too
columns            any columns, for the template of an evaluation task to read; never guessed, an answer is not needed
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from thresher.core.pool import Message
from thresher.core.suggest import unknown
from thresher.errors import UnknownName

Row = Mapping[str, Any]

PAIRS = (("prompt", "completion"), ("prompt", "response"), ("question", "answer"))
"""Column names of prompt and answer, in the order they are looked for."""

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
SHAREGPT_ROLES = {
    "system": "system", "human": "user", "user": "user",
    "gpt": "assistant", "assistant": "assistant", "chatgpt": "assistant", "model": "assistant",
    "function_call": "assistant", "observation": "tool", "tool": "tool",
}  # fmt: skip


class BadRow(ValueError):
    """What is wrong with one row; the reader adds where it stands."""


def alpaca(row: Row) -> list[Message]:
    """instruction, with input on the next line if there is one; output is the answer.

    Raises:
        BadRow: the row is not of this format.
    """
    prompt, extra = _text(row, "instruction"), _text(row, "input", optional=True)
    turns = _system(row)
    for pair in row.get("history") or ():
        if not (isinstance(pair, (list, tuple)) and len(pair) == 2 and all(isinstance(t, str) for t in pair)):
            raise BadRow("'history' must be a list of [prompt, answer] pairs of text")
        turns += [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
    turns.append({"role": "user", "content": f"{prompt}\n{extra}" if extra else prompt})
    turns.append({"role": "assistant", "content": _answer(row, "output")})
    return turns


def messages(row: Row) -> list[Message]:
    """Turns with a role and content; tool calls and other keys ride along.

    Raises:
        BadRow: the row is not of this format.
    """
    turns = row.get("messages", row.get("conversations"))
    if not isinstance(turns, list) or not turns:
        raise BadRow(f"'messages' must be a list of at least one turn, and is {_kind(turns)}")
    return _answered([_turn(turn, number) for number, turn in enumerate(turns, start=1)])


def sharegpt(row: Row) -> list[Message]:
    """Turns with from and value.

    Raises:
        BadRow: the row is not of this format.
    """
    turns = row.get("conversations")
    if not isinstance(turns, list) or not turns:
        raise BadRow(f"'conversations' must be a list of at least one turn, and is {_kind(turns)}")
    out = _system(row)
    for number, turn in enumerate(turns, start=1):
        if not isinstance(turn, dict) or not isinstance(turn.get("value"), str):
            raise BadRow(f"turn {number} must be an object with 'from' and a text 'value'")
        role = SHAREGPT_ROLES.get(turn.get("from")) if isinstance(turn.get("from"), str) else None
        if role is None:
            raise BadRow(f"turn {number} is from {turn.get('from')!r}, known are {', '.join(SHAREGPT_ROLES)}")
        out.append({"role": role, "content": turn["value"]})
    return _answered(out)


def prompt_completion(row: Row) -> list[Message]:
    """A prompt and its answer; either may be a list of turns."""
    asked, answered = pair_of(row) or _half_pair(row)
    prompt, answer = row.get(asked), row.get(answered)
    if isinstance(prompt, list) or isinstance(answer, list):
        turns = prompt if isinstance(prompt, list) else [{"role": "user", "content": _text(row, asked)}]
        turns = turns + (
            answer if isinstance(answer, list) else [{"role": "assistant", "content": _answer(row, answered)}]
        )
        return _answered([_turn(turn, number) for number, turn in enumerate(turns, start=1)])
    prompt, answer = _text(row, asked), _answer(row, answered)
    return [*_system(row), {"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]


def text(row: Row) -> list[Message]:
    """Plain text, all of it trained on."""
    return [{"role": "text", "content": _answer(row, "text")}]


def classification(row: Row) -> list[Message]:
    """The text asked, the label answered.

    Raises:
        BadRow: the row is not of this format.
    """
    label = row.get("label")
    if isinstance(label, bool) or not isinstance(label, (str, int)) or not str(label).strip():
        raise BadRow(f"'label' must be text or a whole number, and is {_kind(label)}")
    return [{"role": "user", "content": _answer(row, "text")}, {"role": "assistant", "content": str(label)}]


def columns(row: Row) -> list[Message]:
    """Whatever is there; prompt and answer where the row has them by a known name, else empty."""
    asked = next((first for first, _ in PAIRS if isinstance(row.get(first), str)), "")
    answered = next((second for _, second in PAIRS if isinstance(row.get(second), str)), "")
    return [
        {"role": "user", "content": row.get(asked, "")},
        {"role": "assistant", "content": row.get(answered, "")},
    ]


FORMATS: dict[str, Callable[[Row], list[Message]]] = {
    "messages": messages,
    "sharegpt": sharegpt,
    "alpaca": alpaca,
    "prompt-completion": prompt_completion,
    "text": text,
    "classification": classification,
    "columns": columns,
}


def detect(row: Row) -> tuple[str, str]:
    """The format of a row and what gives it away.

    Raises:
        BadRow: no format's columns are there.
    """
    turns = row.get("messages")
    if turns is not None:
        return "messages", "has a 'messages' column"
    turns = row.get("conversations")
    if turns is not None:
        first = turns[0] if isinstance(turns, list) and turns else None
        if isinstance(first, dict) and "role" in first:
            return "messages", "its 'conversations' have 'role' and 'content'"
        return "sharegpt", "has a 'conversations' column"
    if "instruction" in row and "output" in row:
        return "alpaca", "has 'instruction' and 'output' columns"
    pair = pair_of(row)
    if pair is not None:
        return "prompt-completion", f"has '{pair[0]}' and '{pair[1]}' columns"
    if "text" in row:
        return "text", "has a 'text' column"
    if "instruction" in row:
        raise BadRow("no answer: it has 'instruction' but no 'output'")
    if "prompt" in row or "question" in row:
        _half_pair(row)
    raise BadRow(
        f"no known format has the columns {', '.join(map(repr, row)) or '(none)'}; known are messages | "
        "conversations | instruction, output | prompt, completion | prompt, response | question, answer | text"
    )


def converter(name: str) -> Callable[[Row], list[Message]]:
    """The function of a format called by name.

    Raises:
        UnknownName: there is no such format.
    """
    if name not in FORMATS:
        raise UnknownName(unknown("format", name, FORMATS))
    return FORMATS[name]


def pair_of(row: Row) -> tuple[str, str] | None:
    """The first pair of prompt and answer columns that is there."""
    return next((pair for pair in PAIRS if pair[0] in row and pair[1] in row), None)


def _half_pair(row: Row) -> tuple[str, str]:
    asked = next((first for first, _ in PAIRS if first in row), None)
    if asked is None:
        raise BadRow("no 'prompt' or 'question'")
    raise BadRow(f"no answer: it has '{asked}' but no {' or '.join(repr(b) for a, b in PAIRS if a == asked)}")


def _system(row: Row) -> list[Message]:
    system = _text(row, "system", optional=True)
    return [{"role": "system", "content": system}] if system else []


def _text(row: Row, column: str, *, optional: bool = False) -> str:
    value = row.get(column)
    if isinstance(value, str):
        return value
    if value is None:
        if optional:
            return ""
        raise BadRow(f"'{column}' is {'empty (null)' if column in row else 'missing'}")
    raise BadRow(f"'{column}' must be text, and is {_kind(value)}")


def _answer(row: Row, column: str) -> str:
    value = row.get(column)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise BadRow(f"no answer: '{column}' is {'empty' if column in row else 'missing'}")
    return _text(row, column)


def _turn(turn: object, number: int) -> Message:
    if not isinstance(turn, dict):
        raise BadRow(f"turn {number} must be an object with 'role' and 'content', and is {_kind(turn)}")
    if turn.get("role") not in ROLES:
        raise BadRow(f"turn {number} has the role {turn.get('role')!r}, known are {', '.join(ROLES)}")
    extra = {
        key: value for key, value in turn.items() if key not in ("role", "content") and value is not None
    }
    return {"role": turn["role"], "content": _content(turn, number), **extra}


def _content(turn: dict, number: int) -> str:
    content = turn.get("content")
    if isinstance(content, str):
        return content
    if content is None:
        if turn.get("tool_calls"):
            return ""
        raise BadRow(f"turn {number} has no 'content'")
    if isinstance(content, list) and all(
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
        for part in content
    ):
        return "".join(part["text"] for part in content)
    raise BadRow(
        f"the content of turn {number} must be text or a list of text parts, and is {_kind(content)}"
    )


def _answered(turns: list[Message]) -> list[Message]:
    """The turns, if one of the assistant's says something.

    Raises:
        BadRow: the row is not of this format.
    """
    spoken = [turn for turn in turns if turn["role"] == "assistant"]
    if not any(turn["content"].strip() or turn.get("tool_calls") for turn in spoken):
        raise BadRow(
            "no answer: " + ("every assistant turn is empty" if spoken else "no turn is the assistant's")
        )
    return turns


def _kind(value: object) -> str:
    names = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "an object",
    }
    if isinstance(value, list) and not value:
        return "an empty list"
    if isinstance(value, list):
        return "a list with parts that are not text" if value and isinstance(value[0], dict) else "a list"
    return "missing" if value is None else names.get(type(value), type(value).__name__)
