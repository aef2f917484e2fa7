"""Token ids and masks: what is trained on is exactly the assistants' words and their end tokens."""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from thresher.core.pool import Pool
from thresher.data.chat import encode, prompt_ids
from thresher.errors import RowError

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TRIMMED = "{{ bos_token }}" + CHATML.replace("m['content']", "(m['content'] | trim)")
FORGETFUL = (  # drops what an assistant said in earlier turns behind a marker: no prefix of itself
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% if loop.last %}{{ '(now) ' }}{% endif %}{{ m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def byte_tokenizer(template: str | None = None, *, begin: bool = False, merges: tuple = ()) -> PreTrainedTokenizerFast:
    """One token a byte, and some merges; special tokens <s>, <|im_start|>, <|im_end|>."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate([*alphabet, *(a + b for a, b in merges)])}
    inner = Tokenizer(models.BPE(vocab=vocab, merges=list(merges)))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens(["<s>", "<|im_start|>", "<|im_end|>"])
    if begin:
        inner.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", inner.token_to_id("<s>"))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="<|im_end|>", chat_template=template
    )


def turns(*contents: str, roles: str = "ua") -> list[dict[str, str]]:
    """Turns with roles by letter: s(ystem) u(ser) a(ssistant) t(ool) x (text)."""
    names = {"s": "system", "u": "user", "a": "assistant", "t": "tool", "x": "text"}
    return [{"role": names[r], "content": c} for r, c in zip(roles, contents, strict=True)]


def parts(rows: list, tokenizer: PreTrainedTokenizerFast, **options: int) -> list[tuple[str, str]]:
    """(whole text, trained text) of each row."""
    encoded = encode(Pool.from_messages(rows), tokenizer, **options)
    decode = [tokenizer.decode(encoded.row(i)[0]) for i in range(len(rows))]
    trained = [tokenizer.decode(encoded.row(i)[0][encoded.row(i)[1]]) for i in range(len(rows))]
    return list(zip(decode, trained, strict=True))


def test_every_assistant_turn_is_trained_with_its_end_token_and_nothing_else():
    row = turns("Be kind.", "Hi", "Hello!", "7*6?", "42", "Thanks", "Bye", roles="suauaua")
    text, trained = parts([row], byte_tokenizer(CHATML))[0]
    assert trained == "Hello!<|im_end|>42<|im_end|>Bye<|im_end|>"
    assert text.startswith("<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>")


@pytest.mark.parametrize("content", ["żółw 🐢", "  spaces around  ", "line\nline\n\n", "<b>&amp;</b>", "a" * 5000])
def test_the_mask_holds_the_answer_whatever_its_characters(content: str):
    """Bytes of one character share an offset; white space at the ends belongs to the answer."""
    assert parts([turns("say it", content)], byte_tokenizer(CHATML), max_tokens=10_000)[0][1] == content + "<|im_end|>"


def test_a_template_that_trims_trains_what_it_renders():
    assert parts([turns("q", "  answer ")], byte_tokenizer(TRIMMED))[0][1] == "answer<|im_end|>"


def test_an_answer_that_repeats_its_prompt_is_found_in_its_own_place():
    text, trained = parts([turns("same words", "same words")], byte_tokenizer(FORGETFUL))[0]
    assert trained.endswith("same words<|im_end|>")
    assert text.count("same words") == 2


def test_a_template_that_is_no_prefix_of_itself_is_read_by_location_and_says_so():
    row = turns("one", "first", "two", "second", roles="uaua")
    encoded = encode(Pool.from_messages([row]), byte_tokenizer(FORGETFUL))
    ids, mask = encoded.row(0)
    assert encoded.template == "own, located"
    assert byte_tokenizer().decode(ids[mask]) == "first<|im_end|>second<|im_end|>"


@pytest.mark.parametrize("template", [TRIMMED, None])
def test_there_is_never_a_second_begin_token(template: str | None):
    """Templates write it themselves, and the tokenizer would add another."""
    tokenizer = byte_tokenizer(template, begin=True)
    for row in (turns("q", "a"), turns("only text", roles="x")):
        assert parts([row], tokenizer)[0][0].count("<s>") == 1, "one begin token"


def test_no_begin_token_where_the_tokenizer_adds_none():
    tokenizer = byte_tokenizer(None)
    assert "<s>" not in parts([turns("q", "a")], tokenizer)[0][0]


def test_a_tokenizer_without_template_gets_the_plain_one_by_name():
    encoded = encode(Pool.from_messages([turns("Why?", "Because.")]), byte_tokenizer(None))
    ids, mask = encoded.row(0)
    assert encoded.template == "thresher-plain"
    assert byte_tokenizer().decode(ids[mask]) == "Because.<|im_end|>"


def test_plain_text_is_trained_whole_without_a_template():
    text, trained = parts([turns("Once upon a time", roles="x")], byte_tokenizer(CHATML))[0]
    assert text == trained == "Once upon a time<|im_end|>"


def test_truncation_takes_the_right_end_and_says_how_much():
    tokenizer = byte_tokenizer(CHATML)
    pool = Pool.from_messages([turns("q", "x" * 100), turns("q", "y")])
    whole, short = encode(pool, tokenizer), encode(pool, tokenizer, max_tokens=60)
    assert short.cut.tolist() == [whole.lengths()[0] - 60, 0]
    assert np.array_equal(short.row(0)[0], whole.row(0)[0][:60])
    assert whole.cut.tolist() == [0, 0]


def test_rows_without_a_trainable_token_are_kept_and_counted_as_none():
    """An empty answer, a prompt that fills the window, no answer at all."""
    rows = [turns("q", ""), turns("p" * 200, "a"), turns("q", roles="u"), turns("q", "fine")]
    encoded = encode(Pool.from_messages(rows), byte_tokenizer(CHATML), max_tokens=100)
    assert encoded.answer_tokens().tolist() == [0, 0, 0, 5]


def test_the_first_token_of_a_row_cannot_be_predicted_and_is_not_counted():
    encoded = encode(Pool.from_messages([turns("abc", roles="x")]), byte_tokenizer(CHATML))
    assert encoded.trained.sum() == 4
    assert encoded.answer_tokens().tolist() == [3]


def test_a_token_over_the_border_of_prompt_and_answer_is_trained():
    """It holds letters of the answer."""
    tokenizer = byte_tokenizer("{% for m in messages %}{{ m['content'] }}{% endfor %}", merges=(("a", "b"),))
    encoded = encode(Pool.from_messages([turns("xa", "bc")]), tokenizer)
    ids, mask = encoded.row(0)
    assert tokenizer.decode(ids) == "xabc"
    assert tokenizer.decode(ids[mask]) == "abc"


def test_rows_taken_are_the_same_rows():
    encoded = encode(Pool.from_messages([turns("q" * i, "a" * i) for i in range(1, 6)]), byte_tokenizer(CHATML))
    taken = encoded.take([3, 0])
    assert np.array_equal(taken.row(0)[0], encoded.row(3)[0])
    assert np.array_equal(taken.row(1)[1], encoded.row(0)[1])
    assert taken.answer_tokens().tolist() == encoded.answer_tokens()[[3, 0]].tolist()


def test_neighbours_do_not_change_a_row():
    """1,024 rows are tokenised together."""
    rows = [turns(f"question {i}", "a" * (i % 13)) for i in range(1030)]
    tokenizer = byte_tokenizer(CHATML)
    every = encode(Pool.from_messages(rows), tokenizer)
    alone = encode(Pool.from_messages(rows[1026:1027]), tokenizer)
    assert np.array_equal(every.row(1026)[0], alone.row(0)[0])
    assert np.array_equal(every.row(1026)[1], alone.row(0)[1])


def test_a_template_that_refuses_a_row_names_it():
    strict = "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system turns') }}{% endif %}"
    tokenizer = byte_tokenizer(strict + "{{ m['content'] }}{% endfor %}")
    rows = [turns("q", "a"), turns("s", "q", "a", roles="sua")]
    with pytest.raises(RowError, match=r"line 2.*row-1.*no system turns"):
        encode(Pool.from_messages(rows), tokenizer)


def test_an_answer_the_template_leaves_out_is_an_error_and_not_a_guess():
    deaf = "{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] }}{% endif %}{% endfor %}"
    tokenizer = byte_tokenizer(deaf)
    with pytest.raises(RowError, match="leaves an answer"):
        encode(Pool.from_messages([turns("q", "lost", "r", "gone", roles="uaua")]), tokenizer)


def test_prompts_are_the_beginnings_of_whole_rows():
    """What a model is asked with is what it was trained behind."""
    tokenizer = byte_tokenizer(CHATML)
    row = turns("system words", "q", "a", roles="sua")
    whole = encode(Pool.from_messages([row]), tokenizer).row(0)[0].tolist()
    prompt = prompt_ids([row[:-1]], tokenizer)[0]
    assert whole[: len(prompt)] == prompt
    assert tokenizer.decode(prompt_ids([row[:-1]], tokenizer, plain=True)[0]) == "system words\nq\n"


def test_an_empty_pool_has_no_tokens(tiny_pool: Pool):
    encoded = encode(tiny_pool.take([]), byte_tokenizer(CHATML))
    assert len(encoded) == 0
    assert encoded.answer_tokens().tolist() == []
