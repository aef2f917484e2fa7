"""Messages -> token ids and the mask of what is trained on, by the tokenizer's own chat template.

The very same ids and mask serve scoring and training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Int

from thresher.core.pool import Message, Pool
from thresher.data.template import Span, Template, adds_begin
from thresher.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import Encoding
    from transformers import PreTrainedTokenizerBase

ROWS_AT_ONCE = 1024  # rows tokenised together: enough for the tokenizer's threads, little memory


@dataclass(frozen=True, eq=False)
class Encoded:
    """n rows as tokens, one after the other.

    Attributes:
        ids: every row's tokens, rows joined.
        starts: where each row begins in `ids`; the last entry is where the last row ends.
        trained: tokens that are trained on: assistant turns with their end tokens, or a whole plain text.
        cut: tokens each row lost on its right to the length limit.
        template: the name of the template, for the card.
    """

    ids: Int[np.ndarray, " D"]
    starts: Int[np.ndarray, " edges"]
    trained: Bool[np.ndarray, " D"]
    cut: Int[np.ndarray, " n"]
    template: str

    def __len__(self) -> int:
        return len(self.starts) - 1

    def lengths(self) -> Int[np.ndarray, " n"]:
        """Tokens of each row."""
        return np.diff(self.starts)

    def answer_tokens(self) -> Int[np.ndarray, " n"]:
        """Tokens of each row that are trained on and can be predicted: a row's first token cannot."""
        sums = np.concatenate([[0], np.cumsum(self.trained, dtype=np.int64)])
        filled = self.starts[:-1] < self.starts[1:]
        first = np.zeros(len(self), np.int64)
        first[filled] = self.trained[self.starts[:-1][filled]]
        return sums[self.starts[1:]] - sums[self.starts[:-1]] - first

    def row(self, i: int) -> tuple[Int[np.ndarray, " s"], Bool[np.ndarray, " s"]]:
        """Ids and mask of one row."""
        span = slice(self.starts[i], self.starts[i + 1])
        return self.ids[span], self.trained[span]

    def take(self, index: Int[np.ndarray, " k"] | Sequence[int]) -> Encoded:
        """These rows, in this order."""
        index = np.asarray(index, dtype=np.int64)
        rows = [self.row(int(i)) for i in index]
        return join([ids for ids, _ in rows], [mask for _, mask in rows], self.cut[index], self.template)


def join(
    ids: Sequence[np.ndarray], trained: Sequence[np.ndarray], cut: Int[np.ndarray, " n"], template: str
) -> Encoded:
    """Rows as one record."""
    starts = np.zeros(len(ids) + 1, np.int64)
    np.cumsum([len(row) for row in ids], out=starts[1:])
    return Encoded(
        ids=np.concatenate([*ids, np.empty(0, np.int32)]).astype(np.int32, copy=False),
        starts=starts,
        trained=np.concatenate([*trained, np.empty(0, bool)]).astype(bool, copy=False),
        cut=np.asarray(cut, np.int64),
        template=template,
    )


@dataclass(frozen=True, eq=False)
class Counted:
    """How many tokens n rows have, without the tokens: of pools too large to hold them. As `Encoded` says it."""

    length: Int[np.ndarray, " n"]
    answer: Int[np.ndarray, " n"]
    cut: Int[np.ndarray, " n"]
    template: str

    def __len__(self) -> int:
        return len(self.length)

    def lengths(self) -> Int[np.ndarray, " n"]:
        """Tokens of each row."""
        return self.length

    def answer_tokens(self) -> Int[np.ndarray, " n"]:
        """Tokens of each row that are trained on and can be predicted."""
        return self.answer


def count(pool: Pool, tokenizer: PreTrainedTokenizerBase, max_tokens: int = 2048) -> Counted:
    """As `encode`, part by part, keeping the numbers only: 24 bytes a row.

    Raises:
        RowError: the template refuses a row, or its answers cannot be found in what the template renders.
    """
    found = np.zeros((3, len(pool)), np.int64)
    start, template = 0, Template.of(tokenizer).described()
    for _, part in pool.parts(4 * ROWS_AT_ONCE):
        rows = encode(part, tokenizer, max_tokens, first=start + 1)
        found[:, start : start + len(part)] = rows.lengths(), rows.answer_tokens(), rows.cut
        start += len(part)
    return Counted(*found, template)


def encode(
    pool: Pool, tokenizer: PreTrainedTokenizerBase, max_tokens: int = 2048, *, first: int = 1
) -> Encoded:
    """Tokenise every row; rows longer than `max_tokens` lose their right end, and `cut` says how much.

    A row may come out without a trained token (an empty answer, or a prompt that fills the window):
    `answer_tokens()` is 0 there, and the caller lists it. `first` is the number of the first row, for errors.

    Raises:
        RowError: the template refuses a row, or its answers cannot be found in what the template renders.
    """
    template = Template.of(tokenizer)
    ids: list[np.ndarray] = []
    trained: list[np.ndarray] = []
    cut: list[int] = []
    for texts, spans in _rendered(pool, template, first):
        for text, found, row_spans in zip(texts, _tokenise(tokenizer, texts), spans, strict=True):
            tokens = np.asarray(found.ids, dtype=np.int32)
            mask = np.zeros(len(tokens), dtype=bool)
            for span in row_spans:
                mask[_tokens_of(found, span, len(text), len(tokens))] = True
            ids.append(tokens[:max_tokens])
            trained.append(mask[:max_tokens])
            cut.append(max(len(tokens) - max_tokens, 0))
    return join(ids, trained, np.asarray(cut, np.int64), template.described())


def prompt_ids(
    rows: Sequence[Sequence[Message]], tokenizer: PreTrainedTokenizerBase, *, plain: bool = False
) -> list[list[int]]:
    """Each prompt as tokens, ending where the model's answer begins.

    Args:
        rows: the turns before the answer.
        tokenizer: of the model that will answer.
        plain: the bare words of the turns, one turn a line, instead of the chat template.
    """
    template = Template.of(tokenizer)
    texts = [template.plain_prompt(row) if plain else template.prompt(row) for row in rows]
    return [list(found.ids) for found in _tokenise(tokenizer, texts)] if texts else []


def answer_opening(tokenizer: PreTrainedTokenizerBase, *, marker: bool) -> list[int]:
    """What stands before an answer whose prompt is left out.

    Args:
        tokenizer: of the model that reads.
        marker: the template's opening of the model's turn, behind the begin token; else the begin token alone, or
            nothing where the tokenizer puts none.
    """
    begin = [tokenizer.bos_token_id] if adds_begin(tokenizer) else []
    if not marker:
        return begin
    turn = [{"role": "user", "content": "x"}]
    closed, opened = Template.of(tokenizer).render([(turn, False), (turn, True)])
    same = next((i for i, pair in enumerate(zip(closed, opened, strict=False)) if pair[0] != pair[1]), len(closed))
    return begin + list(_tokenise(tokenizer, [opened[same:]])[0].ids)


def _rendered(pool: Pool, template: Template, first: int) -> Iterator[tuple[list[str], list[list[Span]]]]:
    """Rows as texts with their trained spans, some rows at a time."""
    rows = enumerate(zip(pool.table["id"].to_pylist(), pool.messages(), strict=True))
    while some := list(islice(rows, ROWS_AT_ONCE)):
        names = [(pool.name, i + first, name) for i, (name, _) in some]
        pairs = template.rows([messages for _, (_, messages) in some], names)
        yield [text for text, _ in pairs], [spans for _, spans in pairs]


def _tokenise(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[Encoding]:
    """Templates write their own begin token, so none is added here.

    Raises:
        ModelError: a tokenizer that cannot say which characters a token stands for.
    """
    found = tokenizer(
        texts, add_special_tokens=False, return_attention_mask=False, truncation=False, padding=False, verbose=False
    ).encodings
    if found is None:
        raise ModelError(
            f"the tokenizer {tokenizer.name_or_path!r} is a pure Python one that does not say which characters a token "
            "stands for. Use a model with a tokenizer.json."
        )
    return found


def _tokens_of(found: Encoding, span: Span, characters: int, n: int) -> slice:
    """The tokens that hold any character of a span.

    Looked up by character rather than from the list of offsets: nothing per token happens in Python. A
    character in no token (dropped white space) is stepped over; one in several tokens (bytes of an emoji)
    gives its first, so the end is sought from the first character behind the span.
    """
    start, stop = span
    first = _token_at(found, start, characters, n)
    last = _token_at(found, stop, characters, n)
    return slice(first, last + (last < n and found.char_to_token(stop - 1) == last))


def _token_at(found: Encoding, at: int, characters: int, n: int) -> int:
    for character in range(at, characters):
        token = found.char_to_token(character)
        if token is not None:
            return token
    return n
