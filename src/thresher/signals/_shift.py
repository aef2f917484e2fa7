"""How far a choice by words went from its pool towards its target, and by which n-grams."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Integer

from thresher.core.store import writing

SHOWN = 20  # n-grams


@dataclass(frozen=True)
class Shares:
    """Hashed n-grams by bucket; every distribution sums to one."""

    names: list[str]  # (g,) groups of the target; one nameless where the target is one
    target: Float[np.ndarray, "g buckets"]
    pool: Float[np.ndarray, " buckets"]

    def log_ratio(self, smallest: float) -> Float[np.ndarray, "g buckets"]:
        """Ln p_target - ln p_pool, of shares with `smallest` added."""
        return np.log(self.target + smallest) - np.log(self.pool + smallest)

    def keep(self, folder: Path) -> None:
        """Two files in the signal's own folder."""
        with writing(folder):
            np.save(folder / "shares.npy", np.vstack([self.pool, self.target]))
            np.save(folder / "targets.npy", np.array(self.names, dtype=np.str_))

    @classmethod
    def read(cls, folder: Path) -> Shares:
        """What `keep` left."""
        shares = np.load(folder / "shares.npy")
        return cls(np.load(folder / "targets.npy").tolist(), shares[1:], shares[0])


def shift(
    shares: Shares, grams: list[str], buckets: Integer[np.ndarray, " m"], random: Integer[np.ndarray, " r"],
    smallest: float,
) -> dict[str, Any]:
    """Divergences in nats, and the n-grams of the chosen rows that the choice gained most by.

        KL(p || p') = sum_h p(h) ln((p(h) + s) / (p'(h) + s));   gain of a gram = its share of m times log ratio

    The gains of all n-grams sum to the mean log weight of the chosen rows' n-grams; that ratio is to the mean over
    the target's groups.

    Args:
        shares: of target and pool.
        grams: the chosen rows' n-grams as text, with repeats; of empty rows there are none.
        buckets: the bucket of each.
        random: buckets of the n-grams of as many rows, drawn uniformly: few rows are far from any target, because
            most n-grams are in none of them, so that this is what the choice is to be held against.
        smallest: s.
    """
    chosen, drawn = (np.bincount(b, minlength=len(shares.pool)) / max(len(b), 1) for b in (buckets, random))
    whole = Shares([""], shares.target.mean(axis=0, keepdims=True), shares.pool)
    ratio = whole.log_ratio(smallest)[0]
    place = dict(zip(grams, buckets.tolist(), strict=True))
    counts = Counter(grams)
    gains = {gram: times / len(grams) * ratio[place[gram]] for gram, times in counts.items()}
    best = sorted(gains, key=lambda gram: (-gains[gram], gram))[:SHOWN]
    return {
        "chosen_from_pool": divergence(chosen, shares.pool, smallest),
        "random_from_pool": divergence(drawn, shares.pool, smallest),
        "targets": [
            {
                "name": name,
                "target_from_pool": divergence(target, shares.pool, smallest),
                "target_from_chosen": divergence(target, chosen, smallest),
                "target_from_random": divergence(target, drawn, smallest),
            }
            for name, target in zip(shares.names, shares.target, strict=True)
        ],
        "ngrams": [
            {"ngram": gram, "times": counts[gram], "log_ratio": float(ratio[place[gram]]), "gain": float(gains[gram])}
            for gram in best
        ],
    }


def divergence(p: Float[np.ndarray, " buckets"], other: Float[np.ndarray, " buckets"], smallest: float) -> float:
    """Kullback and Leibler's, of p from other, in nats; `smallest` keeps it finite where other has nothing."""
    return float((p * (np.log(p + smallest) - np.log(other + smallest))).sum())
