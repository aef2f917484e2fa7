"""A tokenizer's chat template: rows as text, and where in it the trained answers stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from jinja2 import TemplateError

from thresher.core.pool import Message
from thresher.errors import RowError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Span = tuple[int, int]  # characters, from and up to
Conversation = list[Message]
Jobs = list[tuple[Conversation, bool]]  # turns, and whether the model's turn is opened after them

PLAIN_NAME = "thresher-plain"
PLAIN = (
    "{% for m in messages %}{{ '### ' + m['role'] | capitalize + ':\n' + m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ eos_token or '' }}{% endif %}{{ '\n\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '### Assistant:\n' }}{% endif %}"
)
"""For tokenizers that have no template of their own."""

_REFUSALS = (TemplateError, TypeError, ValueError, KeyError, AttributeError)  # what templates raise over a row


@dataclass
class Template:
    """How rows become text for one tokenizer.

    Attributes:
        tokenizer: whose template it is.
        name: "own", or "thresher-plain" where the tokenizer has none.
        source: the Jinja template.
        begin: what stands before plain text: the begin token, if the tokenizer itself would put it there.
        end: the end token, or nothing.
        located: rows whose answers had to be sought in the text, the template not being prefix-consistent.
    """

    tokenizer: PreTrainedTokenizerBase
    name: str
    source: str
    begin: str
    end: str
    located: int = field(default=0)

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> Template:
        """The tokenizer's own template, or the plain one."""
        begin = (tokenizer.bos_token or "") if adds_begin(tokenizer) else ""
        end = tokenizer.eos_token or ""
        if tokenizer.chat_template:
            source = tokenizer.get_chat_template()
            return cls(tokenizer, "own", source, begin, end)
        bos = "{{ bos_token }}" if begin else ""
        return cls(tokenizer, PLAIN_NAME, bos + PLAIN, begin, end)

    def described(self) -> str:
        """For the card."""
        return self.name + (", located" if self.located else "") + ("" if self.end else ", no end token")

    @cached_property
    def marks(self) -> list[str]:
        """Texts of the added tokens, longest first: what can end a turn."""
        return sorted(self.tokenizer.get_added_vocab(), key=len, reverse=True)

    def render(self, jobs: Jobs) -> list[str]:
        """Each conversation as text."""
        texts = [""] * len(jobs)
        for opened in (False, True):
            at = [i for i, job in enumerate(jobs) if job[1] == opened]
            if at:
                found = self.tokenizer.apply_chat_template(
                    [jobs[i][0] for i in at], chat_template=self.source, tokenize=False, add_generation_prompt=opened
                )
                for i, text in zip(at, found, strict=True):
                    texts[i] = text
        return texts

    def prompt(self, messages: Sequence[Message]) -> str:
        """The turns with the model's turn opened after them; of a plain text, the text itself.

        Raises:
            RowError: the template refuses the turns.
        """
        if messages[-1]["role"] == "text":
            return self.begin + messages[-1]["content"]
        return self._render_or_say([(list(messages), True)], ("prompt", 1, ""))[0]

    def plain_prompt(self, messages: Sequence[Message]) -> str:
        """The bare words of the turns, one turn a line."""
        return self.begin + "".join(m["content"] + "\n" for m in messages)

    def rows(self, rows: Sequence[Conversation], names: Sequence[tuple[str, int, str]]) -> list[tuple[str, list[Span]]]:
        """Each row as text with its trained spans; `names` are source, line and id, for errors.

        Raises:
            RowError: the template refuses a row, or an answer cannot be found in what it renders.
        """
        plans = [self._plan(row, name) for row, name in zip(rows, names, strict=True)]
        try:
            texts = self.render([job for jobs in plans for job in jobs])
        except _REFUSALS:  # one row of many: find which
            texts = [text for jobs, name in zip(plans, names, strict=True) for text in self._render_or_say(jobs, name)]
        left = iter(texts)
        return [
            self._spans(row, [next(left) for _ in jobs], name)
            for row, jobs, name in zip(rows, plans, names, strict=True)
        ]

    def _plan(self, messages: Conversation, name: tuple[str, int, str]) -> Jobs:
        """What to render for a row: all of it, then for each answer its opening and (unless last) its end.

        Raises:
            RowError: the template refuses the row.
        """
        kinds = {m["role"] == "text" for m in messages}
        if len(kinds) != 1:
            raise RowError(*name[:2], f"row {name[2]!r} has no turns, or plain text among chat turns")
        if True in kinds:
            return []
        jobs: Jobs = [(messages, False)]
        for j in answers_of(messages):
            if j:
                jobs.append((messages[:j], True))
            if j < len(messages) - 1:
                jobs.append((messages[: j + 1], False))
        return jobs

    def _render_or_say(self, jobs: Jobs, name: tuple[str, int, str]) -> list[str]:
        try:
            return self.render(jobs) if jobs else []
        except _REFUSALS as error:
            raise RowError(*name[:2], f"the chat template refuses row {name[2]!r}: {error}") from error

    def _spans(self, messages: Conversation, texts: list[str], name: tuple[str, int, str]) -> tuple[str, list[Span]]:
        if not texts:
            return self._plain_text(messages)
        full, rest = texts[0], iter(texts[1:])
        spans: list[Span] = []
        behind = 0  # where the search for the next answer starts
        for j in answers_of(messages):
            opening = next(rest) if j else None
            ending = next(rest) if j < len(messages) - 1 else full
            taught = bool(messages[j]["content"].strip()) or len(messages[j]) > 2  # an empty answer teaches nothing
            span = _between(full, opening, ending)
            if span is None or (taught and span[0] == span[1]):
                self.located += 1
                span = self._locate(messages, j, full, opening, behind)
            if span is None:
                raise RowError(*name[:2], f"the chat template leaves an answer of row {name[2]!r} out of its text")
            behind = span[1]
            spans += [span] if taught else []
        return full, spans

    def _plain_text(self, messages: Conversation) -> tuple[str, list[Span]]:
        words = "\n".join(m["content"] for m in messages)
        text = self.begin + words + self.end
        return text, [(len(self.begin), len(text))] if words.strip() else []

    def _locate(self, messages: Conversation, j: int, full: str, opening: str | None, behind: int) -> Span | None:
        """The answer sought in the text: from its opening if that holds, else behind every earlier turn."""
        start = len(opening) if opening is not None and full.startswith(opening) else behind
        if start == behind:
            for message in messages[_previous(messages, j) + 1 : j]:
                at = full.find(message["content"].strip(), start)
                start = at + len(message["content"].strip()) if at >= 0 else start
        words = messages[j]["content"].strip()
        at = full.find(words, start)
        if at < 0:
            return None
        end = at + len(words)
        tail = full[end:]
        skipped = len(tail) - len(tail.lstrip())
        mark = next((m for m in self.marks if tail.startswith(m, skipped)), None)
        return at, end + (skipped + len(mark) if mark else 0)


def _between(full: str, opening: str | None, ending: str) -> Span | None:
    """From the end of the opening to the end of the turn, where the template is prefix-consistent."""
    stop = len(ending.rstrip())
    if opening is None or not full.startswith(opening) or not full.startswith(ending[:stop]) or stop < len(opening):
        return None
    return len(opening), stop


def _previous(messages: Sequence[Message], j: int) -> int:
    """The answer before this one, or -1."""
    return max((i for i in answers_of(messages) if i < j), default=-1)


def answers_of(messages: Sequence[Message]) -> list[int]:
    """Which turns are trained on."""
    return [j for j, message in enumerate(messages) if message["role"] == "assistant"]


def adds_begin(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the tokenizer itself puts its begin token before a text."""
    begin = tokenizer.bos_token_id
    with_it, without = tokenizer("a").input_ids, tokenizer("a", add_special_tokens=False).input_ids
    return begin is not None and with_it[:1] == [begin] and without[:1] != [begin]
