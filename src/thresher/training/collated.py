"""Encoded rows as the Trainer takes them, and in batches."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import Dataset

from thresher.data.chat import Encoded


class Rows(Dataset):
    """Row i: its tokens, which of them are trained on, its number."""

    def __init__(self, rows: Encoded) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> dict[str, np.ndarray]:
        ids, trained = self.rows.row(i)
        return {"input_ids": ids, "trained": trained, "row": np.int64(i)}


class Collator:
    """Rows of a micro-batch, padded on the right; what is not trained on has the label -100."""

    def __init__(self, everything: bool) -> None:
        self.everything = everything

    def __call__(self, rows: list[dict[str, np.ndarray]]) -> dict[str, torch.Tensor]:
        """Each (b, s), and `rows` (b,): their numbers."""
        longest = max(len(row["input_ids"]) for row in rows)
        ids = np.zeros((len(rows), longest), dtype=np.int64)  # (b, s)
        labels = np.full((len(rows), longest), -100, dtype=np.int64)  # (b, s)
        mask = np.zeros((len(rows), longest), dtype=np.int64)  # (b, s)
        for i, row in enumerate(rows):
            s = len(row["input_ids"])
            ids[i, :s], mask[i, :s] = row["input_ids"], 1
            learn = np.ones(s, dtype=bool) if self.everything else row["trained"]
            labels[i, :s][learn] = row["input_ids"][learn]
        return {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy(mask),
            "labels": torch.from_numpy(labels),
            "rows": torch.tensor([int(row["row"]) for row in rows]),
        }
