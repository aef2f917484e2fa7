"""A pool with a planted truth: the demo's data and the tests'.

The target asks which metal is mined on a planet; planets are invented, so nothing but the pool's relevant rows
can teach the answer. Validation asks about one half of the planets and the test about the other half, in
wordings the pool does not hold. Each row carries what it was planted as, in the column `planted`:

relevant    a question of the target's kind with the right metal
noisy       the same with a wrong metal
lure        about the same planets, but of no use
duplicate   a copy of another row, some with a word of courtesy added
off-topic   sums, recipes, letters, stories, spelling: some shorter, some much longer
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from thresher.core.pool import Pool
from thresher.data.formats import prompt_completion

SHARES = {"relevant": 0.12, "noisy": 0.02, "lure": 0.06, "duplicate": 0.05}  # the rest is off-topic
METALS = (
    "iron",
    "copper",
    "gold",
    "silver",
    "tin",
    "zinc",
    "lead",
    "nickel",
    "cobalt",
    "titanium",
    "mercury",
    "chrome",
)
OPENINGS = (
    "",
    "Please tell me: ",
    "A quick question. ",
    "For my notes: ",
    "Do you know? ",
    "Help me with this. ",
)
QUESTIONS = (
    "Which metal is mined on {planet}?",
    "What metal do the mines of {planet} give?",
    "The miners on {planet} dig for which metal?",
    "Name the metal that is mined on {planet}.",
    "On {planet}, what metal is found in the mines?",
    "Which metal comes from the mines of {planet}?",
)
ONSETS = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "th", "dr")
VOWELS = ("a", "e", "i", "o", "u")
CODAS = ("n", "r", "s", "l", "x", "m")

Row = dict[str, Any]


def synthetic(n: int = 6000, seed: int = 0) -> tuple[Pool, Pool, Pool]:
    """(pool, target, test): n rows, the validation rows and the test rows, the last two with an `answer`."""
    return tuple(
        as_pool(part, name)
        for part, name in zip(rows(n, seed), ("demo", "demo:target", "demo:test"), strict=True)
    )  # type: ignore[return-value]


def as_pool(part: list[Row], name: str) -> Pool:
    """Rows as a pool in memory."""
    groups, ids = [row["source"] for row in part], [row["id"] for row in part]
    return Pool.from_messages(
        [prompt_completion(row) for row in part], groups, ids=ids, origin=part, name=name
    )


def rows(n: int = 6000, seed: int = 0) -> tuple[list[Row], list[Row], list[Row]]:
    """The same three as rows of prompt and response; the same n and seed give the same rows."""
    rng = np.random.default_rng([seed, n])
    facts = _facts(n, rng)
    pool = _pool(n, facts, rng)
    planets = list(facts)
    half = len(planets) // 2
    held_out = _wordings()[1]
    target = [_ask(p, w, facts[p]) for p in planets[:half] for w in _some(held_out, 3, rng)]
    test = [_ask(p, w, facts[p]) for p in planets[half:] for w in _some(held_out, 4, rng)]
    for name, part in (("target", target), ("test", test)):
        for i, row in enumerate(part):
            row.update(id=f"{name}-{i:04d}", source="mines", answer=row["response"])
    return pool, target, test


def _pool(n: int, facts: dict[str, str], rng: np.random.Generator) -> list[Row]:
    count = {kind: round(share * n) for kind, share in SHARES.items()}
    planets, wordings = list(facts), _wordings()[0]
    orders = {planet: _some(wordings, len(wordings), rng) for planet in planets}
    out: list[Row] = []
    for i in range(count["relevant"]):
        planet, turn = planets[i % len(planets)], i // len(planets)
        ask = _ask(planet, orders[planet][turn % len(wordings)], facts[planet])
        out.append(ask | {"source": ("atlas", "quiz")[turn % 2], "planted": "relevant"})
    for _ in range(count["noisy"]):
        planet = _one(planets, rng)
        wrong = _one([metal for metal in METALS if metal != facts[planet]], rng)
        out.append(_ask(planet, _one(wordings, rng), wrong) | {"source": "quiz", "planted": "noisy"})
    out += [_lure(_one(planets, rng), rng) | {"planted": "lure"} for _ in range(count["lure"])]
    makers = (_sum, _recipe, _letter, _story, _spelling)
    while len(out) < n - count["duplicate"]:
        out.append(makers[len(out) % len(makers)](rng) | {"planted": "off-topic"})
    for i in range(count["duplicate"]):
        row = out[int(rng.integers(n - count["duplicate"]))]
        out.append(row | {"planted": "duplicate", "prompt": row["prompt"] + (" Thanks." if i % 2 else "")})
    return [{"id": f"demo-{i:06d}", **out[j]} for i, j in enumerate(rng.permutation(len(out)))]


def _facts(n: int, rng: np.random.Generator) -> dict[str, str]:
    """Planets and their metals: about fifteen relevant rows to a planet, and every metal equally often."""
    wanted = max(8, min(48, n // 125), int(SHARES["relevant"] * n / 24))
    names: dict[str, None] = {}
    while len(names) < wanted:
        syllables = "".join(_one(ONSETS, rng) + _one(VOWELS, rng) for _ in range(2 + (wanted > 2000)))
        names[(syllables + _one(CODAS, rng)).capitalize()] = None
    metals = [METALS[i % len(METALS)] for i in range(wanted)]
    return dict(zip(names, (metals[j] for j in rng.permutation(wanted)), strict=True))


def _wordings() -> tuple[list[str], list[str]]:
    """(wordings of the pool, wordings of target and test): no wording is in both, each piece is."""
    every = [(i, j, a + b) for i, a in enumerate(OPENINGS) for j, b in enumerate(QUESTIONS)]
    return [w for i, j, w in every if (i + j) % 3], [w for i, j, w in every if (i + j) % 3 == 0]


def _ask(planet: str, wording: str, metal: str) -> Row:
    return {"prompt": wording.format(planet=planet), "response": metal}


def _lure(planet: str, rng: np.random.Generator) -> Row:
    day, guide = int(rng.integers(2, 90)), _one(("Mara", "Otto", "Ines", "Paul"), rng)
    ask, reply = _one(
        (
            (f"How long is the flight to {planet}?", f"The flight to {planet} takes {day} days."),
            (f"Who wrote the guide to {planet}?", f"{guide} wrote it after a stay of {day} days."),
            (f"Is {planet} worth a visit?", f"Yes, {guide} liked the view and stayed for {day} days."),
        ),
        rng,
    )
    return {"prompt": ask, "response": reply, "source": "travel"}


def _sum(rng: np.random.Generator) -> Row:
    a, b = (int(value) for value in rng.integers(1, 60, 2))
    return {"prompt": f"What is {a} plus {b}?", "response": str(a + b), "source": "sums"}


def _spelling(rng: np.random.Generator) -> Row:
    word = "".join(_one(ONSETS, rng) + _one(VOWELS, rng) for _ in range(2)) + _one(CODAS, rng)
    return {"prompt": f"Spell the word {word}.", "response": " ".join(word), "source": "quiz"}


def _recipe(rng: np.random.Generator) -> Row:
    dish = _one(("soup", "bread", "stew", "pie", "salad"), rng)
    things = _some(
        ("beans", "onions", "flour", "butter", "carrots", "salt", "herbs", "rice", "cheese"), 4, rng
    )
    steps = []
    for thing in things:
        do, minutes = _one(("chop", "warm", "wash", "stir", "weigh"), rng), int(rng.integers(2, 20))
        steps.append(f"Take the {thing} and {do} it for {minutes} minutes.")
    return {
        "prompt": f"How do I make {dish} with {things[0]}?",
        "response": " ".join(steps),
        "source": "kitchen",
    }


def _letter(rng: np.random.Generator) -> Row:
    name, day = _one(("Ada", "Karl", "Noor", "Lena", "Ivo"), rng), _one(("Monday", "Friday", "Sunday"), rng)
    thing = _one(("chair", "lamp", "coat", "clock", "bicycle"), rng)
    number, hour = int(rng.integers(100, 1000)), int(rng.integers(8, 19))
    ask = f"Write to {name} that the {thing} of order {number} comes on {day}."
    reply = (
        f"Dear {name}, the {thing} you ordered under number {number} will be with you on {day} at {hour}. "
        "Please sign for it. Kind regards, the shop."
    )
    return {"prompt": ask, "response": reply, "source": "letters"}


def _story(rng: np.random.Generator) -> Row:
    who, where = (
        _one(("fox", "sailor", "queen", "baker"), rng),
        _one(("forest", "harbour", "castle", "village"), rng),
    )
    middle = []
    for day in range(1, int(rng.integers(3, 9))):
        met = _one(("stranger", "child", "dog", "merchant"), rng)
        did = _one(("laughed", "listened", "ran away", "shared a meal", "told a secret"), rng)
        middle.append(f"On day {day} the {who} met a {met} near the {where} and {did}.")
    reply = f"Once there was a {who} who lived by the {where}. " + " ".join(middle) + " And so it ended."
    return {"prompt": f"Tell me a story of a {who} and a {where}.", "response": reply, "source": "stories"}


def _one(choices: Any, rng: np.random.Generator) -> Any:
    return choices[int(rng.integers(len(choices)))]


def _some(choices: Any, k: int, rng: np.random.Generator) -> list:
    """K different ones in random order."""
    return [choices[j] for j in rng.permutation(len(choices))[:k]]


def planted_shares(selected: Path) -> dict[str, float]:
    """Share of each planted kind among the rows of a selected.jsonl."""
    kinds = [json.loads(line)["planted"] for line in selected.read_text(encoding="utf-8").splitlines()]
    return {kind: kinds.count(kind) / len(kinds) for kind in sorted(set(kinds))}
