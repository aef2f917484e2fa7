"""What is said of answers: nothing written, cut, never the form that was asked for; one writing for vLLM and ours."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import pytest

from thresher.core.pool import Pool
from thresher.errors import ModelError, TaskError
from thresher.evaluation import writing
from thresher.evaluation.measures import evaluate
from thresher.evaluation.task import Task
from thresher.models.generate import Answer

TASK = Task(task="t", data="x", measure="exact_match", extract=r"#### (\d+)", normalise="number", answer="right")


def pool_of(n: int) -> Pool:
    turns = [[{"role": "user", "content": f"{i}?"}, {"role": "assistant", "content": "a"}] for i in range(n)]
    return Pool.from_messages(turns, origin=[{"right": str(i), "kind": "ab"[i % 2]} for i in range(n)])


def says(monkeypatch: pytest.MonkeyPatch, *found: Answer) -> None:
    monkeypatch.setattr(writing, "answers", lambda *_, **__: list(found))


def test_a_model_that_writes_nothing_is_said(
    tiny_model: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    says(monkeypatch, *[Answer(" ", "end", 1)] * 4)
    outcome, _ = evaluate(tiny_model, TASK, pool_of(4))
    assert outcome.score == 0
    assert "the model writes nothing: all 4 answers are empty" in outcome.notes[0]
    assert "the model writes nothing" in caplog.text


def test_an_extraction_that_never_matches_shows_three_texts(tiny_model: str, monkeypatch: pytest.MonkeyPatch):
    said = [Answer(text, "length", 8) for text in ("one", "two", "three", "four")]
    says(monkeypatch, *said)
    outcome, _ = evaluate(tiny_model, TASK, pool_of(4))
    cut, unmatched = outcome.notes
    assert cut == "4 of 4 answers were cut at 128 tokens, before the model had ended"
    assert unmatched.endswith("the first: 'one' | 'two' | 'three'")


def test_samples_are_averaged_by_row_and_groups_scored_apart(tiny_model: str, monkeypatch: pytest.MonkeyPatch):
    texts = ["#### 0", "#### 9", "#### 1", "#### 1", "#### 0", "#### 0", "#### 3", "x"]
    says(monkeypatch, *[Answer(text, "end", 3) for text in texts])
    task = replace(TASK, samples=2, temperature=1.0, groups="kind", average="groups")
    outcome, _ = evaluate(tiny_model, task, pool_of(4))
    assert outcome.values.tolist() == [0.5, 1.0, 0.0, 0.5]
    assert {name: round(score, 3) for name, (score, _, _) in outcome.groups.items()} == {"a": 0.25, "b": 0.75}
    assert outcome.score == 0.5
    assert outcome.in_words()["groups"]["b"]["n"] == 2  # type: ignore[index]


def test_a_prompt_too_long_for_the_model_is_named(tiny_model: str):
    with pytest.raises(TaskError, match=r"4 prompts and an answer of 1000000 tokens do not fit"):
        evaluate(tiny_model, replace(TASK, max_new_tokens=1_000_000), pool_of(4))


class Engine:
    """Says the prompt's last token's number, and remembers how it was asked."""

    def __init__(self, **made: object) -> None:
        self.made, self.asked = made, []

    def generate(self, prompts: list, settings: list, *, use_tqdm: bool) -> list:
        assert not use_tqdm
        self.asked = settings
        return [
            SimpleNamespace(outputs=[SimpleNamespace(
                text=f"#### {i}", token_ids=[1, 2], finish_reason="stop" if i else "length",
                stop_reason="\n" if i == 1 else None,
            )]) for i, prompt in enumerate(prompts) if prompt["prompt_token_ids"]
        ]  # fmt: skip


def test_vllm_gets_our_prompts_and_our_rules(tiny_model: str, monkeypatch: pytest.MonkeyPatch):
    module = ModuleType("vllm")
    module.LLM, module.SamplingParams = Engine, SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", module)
    task = replace(TASK, engine="vllm", stop=("\n",), max_new_tokens=5, temperature=0.5, top_p=0.9)
    outcome, receipt = evaluate(tiny_model, task, pool_of(3))
    assert outcome.score == 1
    assert outcome.notes == ("1 of 3 answers were cut at 5 tokens, before the model had ended",)
    assert receipt.flops > 0
    with pytest.raises(TaskError, match="the engine vllm only writes"):
        evaluate(tiny_model, replace(task, measure="held_out"), pool_of(3))


def test_vllm_settings(tiny_model: str, monkeypatch: pytest.MonkeyPatch):
    module = ModuleType("vllm")
    module.LLM, module.SamplingParams = Engine, SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", module)
    from thresher.models.generate import Decoding
    from thresher.models.served import Served

    served = Served(tiny_model)
    found = served.answers([[1, 2], [3], [4]], Decoding(max_new_tokens=5, stop=("\n",), temperature=0.5, seed=3))
    assert [one.ended for one in found] == ["length", "stop", "end"]
    first, second, _ = served.llm.asked
    assert first.seed != second.seed
    assert (first.max_tokens, first.stop, first.temperature) == (5, ["\n"], 0.5)
    assert not first.include_stop_str_in_output


def test_without_vllm_its_extra_is_named(tiny_model: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ModelError, match=r"pip install 'thresher\[vllm\]'"):
        evaluate(tiny_model, replace(TASK, engine="vllm"), pool_of(1))
