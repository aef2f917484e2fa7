"""Selected rows for the trainers: the user's own rows, and the two small files that describe them to others.

selected.jsonl       the rows in the user's own columns and words, in the order chosen; TRL reads it as it is
dataset_info.json    for LLaMA-Factory
axolotl.yaml         for axolotl
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jaxtyping import Int

from thresher.core.method import Subset
from thresher.core.pool import Pool
from thresher.core.store import write_bytes, writing
from thresher.data.formats import pair_of
from thresher.data.lines import write_lines

FILE = "selected.jsonl"


def write_selected(pool: Pool, subset: Subset, out: Path) -> None:
    """Write the three files into `out`, each whole or not at all."""
    temporary = out / f".{FILE}.{os.getpid()}.tmp"
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        try:
            write_lines(pool, repeated(subset), temporary)
            with temporary.open("rb") as file:
                first = json.loads(file.readline() or "{}")
            os.replace(temporary, out / FILE)
        finally:
            temporary.unlink(missing_ok=True)
    info = {"selected": llama_factory(pool.format, first)}
    write_bytes(out / "dataset_info.json", json.dumps(info, indent=2, ensure_ascii=False).encode())
    described = yaml.safe_dump(
        {"datasets": [axolotl(pool.format, first)]}, sort_keys=False, allow_unicode=True
    )
    write_bytes(out / "axolotl.yaml", described.encode())


def llama_factory(format: str, row: dict[str, Any]) -> dict[str, Any]:
    """One entry of dataset_info.json for rows like this one."""
    if format in ("messages", "sharegpt"):
        held = "messages" if "messages" in row else "conversations"
        columns = {"messages": held, **_there(row, system="system", tools="tools")}
        return {"file_name": FILE, "formatting": "sharegpt", "columns": columns, "tags": _tags(format, row)}
    if format == "alpaca":
        columns = {"prompt": "instruction", "query": "input", "response": "output"}
        columns = _there(row, **columns, system="system", history="history")
    elif format == "text":
        columns = {"prompt": "text"}
    else:
        asked, answered = _pair(format, row)
        columns = {"prompt": asked, "response": answered, **_there(row, system="system")}
    return {"file_name": FILE, "formatting": "alpaca", "columns": columns}


def axolotl(format: str, row: dict[str, Any]) -> dict[str, Any]:
    """One entry of `datasets:` for rows like this one."""
    about: dict[str, Any] = {"path": FILE, "ds_type": "json"}
    if format in ("messages", "sharegpt"):
        role, content = ("role", "content") if format == "messages" else ("from", "value")
        held = "messages" if "messages" in row else "conversations"
        about |= {"type": "chat_template", "field_messages": held}
        about |= {"message_property_mappings": {"role": role, "content": content}}
        return about
    if format == "alpaca":
        return about | {"type": "alpaca"}
    if format == "text":
        return about | {"type": "completion", "field": "text"}
    asked, answered = _pair(format, row)
    shape = {"field_instruction": asked, "field_output": answered}
    return about | {"type": shape | {"format": "{instruction}\n", "no_input_format": "{instruction}\n"}}


def repeated(subset: Subset) -> Int[np.ndarray, " m"]:
    """(m,) the rows as they are trained on: one that counts w times stands w times, round after round.

    Raises:
        ValueError: a weight that is no whole number.
    """
    if subset.weight is None:
        return subset.index
    times = np.rint(subset.weight).astype(np.int64)
    if not np.array_equal(times, subset.weight):
        raise ValueError("weights of chosen rows are repeats and must be whole numbers")
    return np.concatenate([subset.index[times > turn] for turn in range(int(times.max(initial=0)))] or [subset.index])


def _pair(format: str, row: dict[str, Any]) -> tuple[str, str]:
    """Columns of what is asked and answered."""
    return ("text", "label") if format == "classification" else pair_of(row) or ("prompt", "response")


def _there(row: dict[str, Any], **columns: str) -> dict[str, str]:
    return {key: column for key, column in columns.items() if column in row}


def _tags(format: str, row: dict[str, Any]) -> dict[str, str]:
    """What LLaMA-Factory calls the roles, in the words of the rows."""
    if format == "messages":
        return {
            "role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant",
            "observation_tag": "tool", "function_tag": "function", "system_tag": "system",
        }  # fmt: skip
    said = [turn.get("from") for turn in row.get("conversations", ())]
    user = next((name for name in said if name in ("human", "user")), "human")
    assistant = next((name for name in said if name in ("gpt", "assistant", "chatgpt", "model")), "gpt")
    return {
        "role_tag": "from", "content_tag": "value", "user_tag": user, "assistant_tag": assistant,
        "observation_tag": "observation", "function_tag": "function_call", "system_tag": "system",
    }  # fmt: skip
