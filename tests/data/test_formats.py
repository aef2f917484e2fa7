"""Each format gives the messages it means, and says what is wrong with a row that is not of it."""

import pytest

from thresher.data.formats import BadRow, converter, detect
from thresher.errors import UnknownName

USER, REPLY = {"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}
SAME = [
    ("alpaca", {"instruction": "2+2?", "output": "4"}),
    ("alpaca", {"instruction": "2+2?", "input": "", "output": "4"}),
    ("messages", {"messages": [USER, REPLY]}),
    ("messages", {"conversations": [USER, REPLY]}),
    ("messages", {"messages": [{"role": "user", "content": [{"type": "text", "text": "2+2?"}]}, REPLY]}),
    ("sharegpt", {"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}]}),
    ("prompt-completion", {"prompt": "2+2?", "completion": "4"}),
    ("prompt-completion", {"prompt": "2+2?", "response": "4", "answer": "four"}),
    ("prompt-completion", {"question": "2+2?", "answer": "4"}),
    ("prompt-completion", {"prompt": [USER], "completion": [REPLY]}),
]


@pytest.mark.parametrize(("name", "row"), SAME)
def test_every_format_says_the_same_row(name, row):
    assert detect(row)[0] == name
    assert converter(name)(row) == [USER, REPLY]


def test_plain_text_has_no_roles_put_around_it():
    assert detect({"text": "hello"})[0] == "text"
    assert converter("text")({"text": "hello"}) == [{"role": "text", "content": "hello"}]


def test_alpaca_takes_input_system_and_history():
    row = {"instruction": "Add", "input": "1, 2", "output": "3", "system": "Be brief.", "history": [["Hi", "Hello"]]}
    said = [(m["role"], m["content"]) for m in converter("alpaca")(row)]
    assert said == [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello"), ("user", "Add\n1, 2"),
                    ("assistant", "3")]  # fmt: skip


def test_tool_turns_keep_their_calls_and_names():
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "add", "arguments": "{}"}}]}
    tool = {"role": "tool", "content": "3", "name": "add"}
    turns = converter("messages")({"messages": [{"role": "system", "content": "s"}, USER, call, tool, REPLY]})
    assert turns[2]["content"] == ""
    assert turns[2]["tool_calls"] == call["tool_calls"]
    assert turns[3]["name"] == "add"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "x", "completion": ""}, "no answer"),
        ({"prompt": "x", "completion": None}, "no answer"),
        ({"prompt": "x", "completion": "  \n"}, "no answer"),
        ({"prompt": "x"}, "no answer"),
        ({"instruction": "x"}, "no answer"),
        ({"prompt": "x", "completion": 4}, "'completion' must be text, and is a number"),
        ({"prompt": 4, "completion": "x"}, "'prompt' must be text, and is a number"),
        ({"messages": [USER]}, "no turn is the assistant's"),
        ({"messages": [USER, {"role": "assistant", "content": ""}]}, "every assistant turn is empty"),
        ({"messages": []}, "an empty list"),
        ({"messages": "hi"}, "is text"),
        ({"messages": ["hi"]}, "turn 1 must be an object"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "'robot'"),
        ({"messages": [USER, {"role": "assistant", "content": [{"type": "image"}]}]}, "content of turn 2"),
        ({"conversations": [{"from": "martian", "value": "x"}]}, "'martian'"),
        ({"conversations": [{"from": ["x"], "value": "x"}]}, "turn 1 is from"),
        ({"words": "x"}, "known are messages"),
        ({}, "(none)"),
    ],
)
def test_a_bad_row_says_what_is_wrong(row, reason):
    with pytest.raises(BadRow) as caught:
        converter(detect(row)[0])(row)
    assert reason in str(caught.value)


def test_a_misspelt_format_is_guessed():
    with pytest.raises(UnknownName, match="Did you mean 'alpaca'"):
        converter("alpacca")
