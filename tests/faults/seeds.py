"""Good files of every kind: what a fuzzer begins from."""

from __future__ import annotations

import gzip
import io
import json
import struct

import pyarrow as pa
import pyarrow.parquet as pq

ROWS = [
    {"id": "a", "instruction": "How many?", "input": "keys", "output": "Two.", "source": "x"},
    {"messages": [{"role": "user", "content": "Hi"},
                  {"role": "assistant", "content": [{"type": "text", "text": "Ho"}]}]},
    {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho \u00fc"}]},
    {"prompt": "Why?", "completion": "So."},
    {"text": "Once upon a time.", "label": 1},
    {"messages": [{"role": "user", "content": "1+1"},
                  {"role": "assistant", "content": None, "tool_calls": [{"name": "add", "arguments": {"a": 1.5}}]},
                  {"role": "tool", "content": "2"}]},
    {"instruction": "x", "output": "y", "history": [["a", "b"]], "system": "s"},
]  # fmt: skip
RECIPE = "{epochs: 2, batch_size: 8, learning_rate: 1e-4, schedule: cosine, lora: {r: 4, targets: [q_proj]}}\n"
TASK = (
    "task: keys\ndata: target.jsonl\nmeasure: exact_match\nprompt: 'Q: {question}'\nanswer: answer\n"
    "extract: ['####\\s*(-?[\\d.,]+)', '(\\w+)$']\nnormalise: [number, letter]\nstop: ['Q:']\nmax_new_tokens: 8\n"
)
RUN = (
    "pool: pool.jsonl\ntarget: [t.jsonl]\nmodel: scratch:3m\nmethods: [random, {method: less, label: a}]\n"
    "budgets: [10 rows, 5%, 1e15 flops]\nseeds: [0, 1]\nprotocols: [equal-epochs]\nworkers: 2\n"
    "recipe: {epochs: 1}\ntasks:\n- {task: a, data: t.jsonl, measure: held_out}\n"
)
LINE = {"method": "random", "model": "m", "task": "t", "metric": "loss", "score": 1.5, "selection_flops": 0.0,
        "training_flops": 1e9, "rows": 3, "seed": 0, "fraction": 0.5}  # fmt: skip
CARD = {
    "thresher": "0.2.0", "command": "thresher select", "method": "random", "seed": 0, "order": None,
    "request": {"sources": {"pool": "pool.jsonl", "target": [], "model": None, "only": []}, "budget": "5 rows",
                "overrides": {"a": 1}, "recipe": {"epochs": 1.0, "lora": None}},
    "pool": {"fingerprint": "00"}, "target": None, "sha256": {"selected.jsonl": "00", "scores.parquet": "00"},
}  # fmt: skip


def lines(rows: list[dict]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def parquet(columns: dict[str, list]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def gguf() -> bytes:
    def text(word: bytes) -> bytes:
        return struct.pack("<Q", len(word)) + word

    fields = text(b"general.architecture") + struct.pack("<I", 8) + text(b"llama")
    fields += text(b"tokens") + struct.pack("<IIQ", 9, 8, 2) + text(b"a") + text(b"b")
    fields += text(b"width") + struct.pack("<II", 4, 8)
    tensor = text(b"w") + struct.pack("<IQQIQ", 2, 2, 2, 0, 0)
    return b"GGUF" + struct.pack("<IQQ", 3, 1, 3) + fields + tensor + bytes(64)


def csv_of(line: dict) -> bytes:
    return f"{','.join(line)}\n{','.join(map(str, line.values()))}\n".encode()


SEEDS: dict[str, list[bytes]] = {
    "jsonl": [lines([row, row]) for row in ROWS],
    "json": [json.dumps([row, row]).encode() for row in ROWS[:3]] + [lines(ROWS[:1])],
    "csv": [b'instruction,output\n"a, ""b""",c\n', b"text\na\nb\n"],
    "gzip": [gzip.compress(lines(ROWS[:1])), lines(ROWS[:2])],
    "parquet": [parquet({"instruction": ["a", "b"], "output": ["c", None]}),
                parquet({"messages": [[{"role": "user"}]]})],
    "formats": [json.dumps(row).encode() for row in ROWS],
    "yaml": [b"a: &x [1, 2.5, ~]\nb: *x\nc: {d: !!str 3}\ne: |\n  text\n<<: {f: 2001-01-01}\n"],
    "recipe": [RECIPE.encode(), b"steps: 5\nlora: true\n"],
    "run": [RUN.encode()],
    "task": [TASK.encode(), b"{task: a, data: b, measure: held_out}", b"{like: gsm8k, data: a}"],
    "gguf": [gguf()],
    "config": [b'{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}', b'{"auto_map": {}}'],
    "results-csv": [csv_of(LINE)],
    "results-parquet": [parquet({name: [value] for name, value in LINE.items()})],
    "card": [json.dumps(CARD).encode()],
    "manifest": [b'{"rows": 3, "sums": {"values": "00000000"}, "notes": {"a": {}}}', b'{"values": "0", "flops": 1.0}'],
    "events": [b'{"event": "run started"}\n{"event": "run ended"}\n'],
}  # fmt: skip
