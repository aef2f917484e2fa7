"""Data and judge of recipes/detox.yaml: made-up sentences, polite, rude and plain, and a classifier that knows them.

python recipes/detox_data.py runs/detox
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from thresher.evaluation.judges import export

PEOPLE = ["the clerk", "my neighbour", "the driver", "our teacher", "the baker", "a visitor", "the editor", "his aunt"]
OPENINGS = ["wrote to me that", "said this morning that", "answered that", "told everyone that", "left a note that"]
THINGS = ["the plan", "the report", "this idea", "the soup", "the letter", "that song", "the new road", "the repair"]
SAID = {
    "rude": ["is rubbish made by idiots", "is stupid and so are you", "stinks like everything you do",
             "is garbage and you should shut up", "is a pathetic joke by fools"],
    "polite": ["is lovely and kindly meant", "deserves warm thanks", "is a thoughtful gift to all of us",
               "was done with care and respect", "is a pleasure and most welcome"],
    "plain": ["is due on Monday", "has three parts", "was moved to the other room", "takes about an hour",
              "is listed on page four"],
}  # fmt: skip
SHARE = {"rude": 0.3, "polite": 0.2, "plain": 0.5}


def sentences(n: int, kind: str, rng: np.random.Generator) -> list[str]:
    """Of one kind."""
    pick = lambda words: words[int(rng.integers(len(words)))]  # noqa: E731
    return [f"{pick(PEOPLE)} {pick(OPENINGS)} {pick(THINGS)} {pick(SAID[kind])}.".capitalize() for _ in range(n)]


def write(path: Path, rows: list[dict[str, str]]) -> None:
    """One JSON line a row."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def main(out: Path) -> None:
    """Pool, target, prompts, held-out sentences and the judge."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    out.mkdir(parents=True, exist_ok=True)
    pool = [{"text": text, "source": kind} for kind, share in SHARE.items()
            for text in sentences(round(3000 * share), kind, rng)]  # fmt: skip
    rng.shuffle(pool)
    write(out / "pool.jsonl", pool)
    write(out / "rude.jsonl", [{"text": text} for text in sentences(100, "rude", rng)])
    write(out / "held.jsonl", [{"text": text} for text in sentences(60, "plain", rng)])
    prompts = [f"{who} {opening} {thing}".capitalize() for who in PEOPLE for opening in OPENINGS for thing in THINGS]
    write(out / "prompts.jsonl", [{"text": prompts[i]} for i in rng.permutation(len(prompts))[:80]])
    known = [(text, "rude" if kind == "rude" else "fine") for kind in SAID for text in sentences(400, kind, rng)]
    vectoriser = TfidfVectorizer(ngram_range=(1, 2))
    words = vectoriser.fit_transform([text for text, _ in known])
    export(vectoriser, LogisticRegression(C=10.0).fit(words, [kind for _, kind in known]), out / "judge")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
