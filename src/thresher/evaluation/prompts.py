"""Prompts as tokens, in both forms, and prompts with what follows them; what does not fit the window is said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from thresher.core.pool import Message, Pool
from thresher.data.chat import Encoded, answer_opening, encode, join, prompt_ids
from thresher.errors import TaskError
from thresher.models.load import Opened

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from thresher.evaluation.task import Task

WHOLE = 1 << 30  # tokens: nothing is cut


def plain_text(task: Task, turns: Sequence[Message]) -> str:
    """The bare words: shots apart by `between`, a prompt and its answer by `separator`; it ends with a `separator`."""
    text = ""
    for turn in turns:
        if turn["role"] == "text":
            text += turn["content"]
        else:
            text += turn["content"] + (task.between if turn["role"] in ("assistant", "system") else task.separator)
    return text


def heads(task: Task, rows: Pool) -> list[list[Message]]:
    """The turns before each row's answer; a plain text is a prompt to be gone on with."""
    return [row if row[-1]["role"] == "text" else row[:-1] for row in rows.messages()]


def of_rows(task: Task, rows: Pool, tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Each row's prompt, ending where the model's answer begins."""
    turns = heads(task, rows)
    if task.format == "chat":
        return prompt_ids(turns, tokenizer)
    begin = answer_opening(tokenizer, marker=False)
    # the blank before an answer is the answer's own in nearly every tokenizer
    return [begin + ids for ids in _ids(tokenizer, [plain_text(task, row).rstrip(" ") for row in turns])]


def followed(
    task: Task, turns: Sequence[Sequence[Message]], answers: Sequence[str], tokenizer: PreTrainedTokenizerBase
) -> Encoded:
    """Prompts, each with an answer's tokens behind it, which are the ones that count; nothing is cut.

    In the plain format prompt and answer are read as one text, and what is longer than the prompt alone counts (a
    blank between them with the answer). In the chat format the answer stands after the opened turn, without its end.
    """
    if task.format == "chat":
        before = prompt_ids(turns, tokenizer)
        whole = [[*head, *tail] for head, tail in zip(before, _ids(tokenizer, answers), strict=True)]
    else:
        texts, begin = [plain_text(task, row) for row in turns], answer_opening(tokenizer, marker=False)
        before = [begin + ids for ids in _ids(tokenizer, [text.rstrip(" ") for text in texts])]
        joined = [text + answer for text, answer in zip(texts, answers, strict=True)]
        whole = [begin + ids for ids in _ids(tokenizer, joined)]
    counted = [np.arange(len(row)) >= len(head) for row, head in zip(whole, before, strict=True)]
    return join([np.array(row, np.int32) for row in whole], counted, np.zeros(len(whole), np.int64), task.format)


def with_answers(task: Task, rows: Pool, tokenizer: PreTrainedTokenizerBase) -> Encoded:
    """Whole rows in the task's format; of a row with shots the last answer alone counts."""
    if task.format == "plain":
        turns = [[] if row[-1]["role"] == "text" else row[:-1] for row in rows.messages()]
        return followed(task, turns, rows.answer(), tokenizer)
    found = encode(rows, tokenizer, max_tokens=WHOLE)
    return found if not task.shots else _last_alone(found)


def fitted(
    task: Task, tokens: Encoded, rows: Pool, window: int, owner: Int[np.ndarray, " m"]
) -> tuple[Encoded, list[str]]:
    """Rows that fit the window, and notes of what was done to the others; `owner` is each one's row of the pool.

    Raises:
        TaskError: a row that does not fit, unless the task says `over_window: cut`.
    """
    long = np.flatnonzero(tokens.lengths() > window)
    if not long.size:
        return tokens, []
    names = list(dict.fromkeys(rows.take(owner[long[:3]]).ids()))
    if task.over_window == "refuse":
        raise TaskError(
            f"task {task.task}: {len({owner[i] for i in long})} rows have no room for their answer within {window} "
            f"tokens, first {names}. Raise max_tokens if the model reads more, use fewer shots, leave these rows out, "
            "or set over_window: cut."
        )
    ids, counted = [], []
    for i in range(len(tokens)):
        row, mask = tokens.row(i)
        if mask[:-window].any():
            raise TaskError(
                f"task {task.task}: the answer of a row alone is longer than the window of {window} tokens, first "
                f"{names}. Raise max_tokens if the model reads more, or leave these rows out."
            )
        ids.append(row[-window:])
        counted.append(mask[-window:])
    cut = join(ids, counted, np.maximum(tokens.lengths() - window, 0), tokens.template)
    return cut, [f"{len(long)} rows lost the beginning of their prompt to the window of {window} tokens"]


def window_of(task: Task, opened: Opened) -> int:
    """Tokens that the task allows and the model has places for."""
    return min(task.max_tokens, places(opened))


def places(opened: Opened) -> int:
    """How many tokens the model was made to read; of a model that does not say, any number."""
    return getattr(opened.model.config, "max_position_embeddings", None) or WHOLE


def _ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    return tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"] if texts else []


def _last_alone(tokens: Encoded) -> Encoded:
    masks = []
    for i in range(len(tokens)):
        _, mask = tokens.row(i)
        places = np.flatnonzero(mask)
        breaks = np.flatnonzero(np.diff(places) > 1)
        start = places[breaks[-1] + 1] if breaks.size else (places[0] if places.size else len(mask))
        masks.append(mask & (np.arange(len(mask)) >= start))
    return Encoded(tokens.ids, tokens.starts, np.concatenate(masks), tokens.cut, tokens.template)
