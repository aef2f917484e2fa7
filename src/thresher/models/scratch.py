"""scratch:SIZE -> a small Llama-shaped model with a random start and a tokenizer trained on the pool."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from thresher.core.pool import Pool
from thresher.errors import ModelError
from thresher.models.folder import build

VERSION = 2  # raise it when the shape, the tokenizer or the start changes
WINDOW = 4096
ROWS_FOR_TOKENIZER = 50_000  # evenly spread over the pool; 8,000 merges are settled long before
ASPECT = 48  # width over layers: what MODELS.md's 3M scorer has

PAD, END = "<|pad|>", "<|end|>"
ROLES = ("system", "user", "assistant", "tool")
TEMPLATE = (
    "{% for m in messages %}"
    "{{ '<|' + (m['role'] if m['role'] in ['system', 'user', 'assistant', 'tool'] else 'user') + '|>'"
    " + m['content'] + '<|end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
_WORDS = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def make(size: str, *, pool: Pool | None, home: Path, seed: int) -> Path:
    """The folder of the model, made once for a pool, a seed and a size.

    Raises:
        ModelError: the size cannot be read, or there is no pool to train a tokenizer on.
    """
    wanted = parse_size(size)
    if pool is None or not len(pool):
        raise ModelError(
            f"scratch:{size} trains its tokenizer on the pool, and there is none here. Give a pool with rows."
        )
    sign = hashlib.sha256(f"{pool.fingerprint} {seed} {wanted} {VERSION}".encode()).hexdigest()[:16]
    about = {
        "origin": f"scratch:{size}", "random_start": True, "made_by": "scratch", "seed": seed,
        "tokenizer_pool": pool.fingerprint, "version": VERSION,
    }  # fmt: skip
    return build(home / f"scratch-{size.lower()}-{sign}", lambda part: _write(part, wanted, pool, seed), about)


def parse_size(size: str) -> int:
    """Parameters wanted: 500k, 1m, 3m, 10m, or any number between 20k and 2b.

    Raises:
        ModelError: it cannot be opened or used.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kmb]?)", size.strip().lower())
    wanted = int(float(match[1]) * {"": 1, "k": 1e3, "m": 1e6, "b": 1e9}[match[2]]) if match else 0
    if not 20_000 <= wanted <= 2_000_000_000:
        raise ModelError(f"cannot make scratch:{size}. Sizes are numbers such as 500k, 1m, 3m or 10m, from 20k to 2b.")
    return wanted


def vocabulary(wanted: int) -> int:
    """Tokens asked of the tokenizer; a small pool may have fewer."""
    return 512 if wanted < 300_000 else 2048 if wanted < 800_000 else 4096 if wanted < 2_000_000 else 8192


def shape(wanted: int, vocab: int) -> tuple[int, int, int, int]:
    """(vocabulary, width, layers, feed-forward width) nearest in parameters among sensible proportions."""
    step = 32 if wanted < 2_000_000 else 64
    best, found = float("inf"), (0, 0, 0, 0)
    for layers in range(1, 41):
        for width in range(step, 4097, step):
            hidden = -(-width * 8 // 3 // 64) * 64
            distance = abs(_log(parameters(vocab, width, layers, hidden) / wanted)) + 0.5 * abs(
                _log(width / layers / ASPECT)
            )
            if distance < best:
                best, found = distance, (vocab, width, layers, hidden)
    return found


def parameters(vocab: int, width: int, layers: int, hidden: int) -> int:
    """All of them; the head shares the embedding's."""
    return vocab * width + layers * (4 * width**2 + 3 * width * hidden + 2 * width) + width


def _log(ratio: float) -> float:
    return float(torch.tensor(ratio, dtype=torch.float64).log())


def _write(part: Path, wanted: int, pool: Pool, seed: int) -> None:
    tokenizer = train_tokenizer(pool, vocabulary(wanted))
    _, width, layers, hidden = shape(wanted, len(tokenizer))
    head = 64 if width % 64 == 0 else 32
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=hidden, num_hidden_layers=layers,
        num_attention_heads=width // head, num_key_value_heads=width // head, max_position_embeddings=WINDOW,
        tie_word_embeddings=True, bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id, dtype="float32",
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.save_pretrained(part)
    tokenizer.save_pretrained(part)


def train_tokenizer(pool: Pool, vocab: int) -> PreTrainedTokenizerFast:
    """Byte-level byte-pair encoding of the pool's own words; digits stand one by one."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, min_frequency=2, show_progress=False, max_token_length=24,
        special_tokens=[PAD, END, *(f"<|{role}|>" for role in ROLES)],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )  # fmt: skip
    inner.train_from_iterator(_texts(pool), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token=END, pad_token=PAD, chat_template=TEMPLATE, model_max_length=WINDOW,
        clean_up_tokenization_spaces=False,
    )  # fmt: skip


def _texts(pool: Pool) -> Iterator[str]:
    step = -(-len(pool) // ROWS_FOR_TOKENIZER)
    some = pool if step == 1 else pool.take(range(0, len(pool), step))
    for messages in some.messages():
        for message in messages:
            yield message["content"]
