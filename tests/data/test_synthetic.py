"""The planted truth is what it says it is."""

from collections import Counter

from thresher.data.synthetic import METALS, SHARES, rows, synthetic


def test_the_same_seed_gives_the_same_pools_and_another_seed_others():
    a, b, c = synthetic(400, 0), synthetic(400, 0), synthetic(400, 1)
    assert [p.fingerprint for p in a] == [p.fingerprint for p in b]
    assert all(p.fingerprint != q.fingerprint for p, q in zip(a, c, strict=True))


def test_the_shares_are_as_planted():
    pool, _, _ = rows(2000)
    counted = Counter(row["planted"] for row in pool)
    assert len(pool) == 2000
    assert {kind: counted[kind] for kind in SHARES} == {kind: round(2000 * share) for kind, share in SHARES.items()}
    assert len({row["id"] for row in pool}) == 2000


def test_relevant_rows_alone_teach_every_answer_and_noise_contradicts_them():
    pool, target, test = rows(2000)
    planets = {word.strip(".,?") for row in pool if row["planted"] == "lure" for word in row["prompt"].split()}

    def facts(part):
        return {(p, row["response"]) for row in part for p in planets if p in row["prompt"].replace("?", " ").split()
                or f"{p}." in row["prompt"].split() or f"{p}," in row["prompt"].split()}  # fmt: skip

    true = facts(row for row in pool if row["planted"] == "relevant" and row["response"] in METALS)
    true = {(p, metal) for p, metal in true if p.istitle() and p[-1] in "nrslxm" and p not in ("Is",)}
    for part in (target, test):
        asked = {(p, metal) for p, metal in facts(part) if p in {planet for planet, _ in true}}
        assert asked
        assert asked <= true
    noisy = facts(row for row in pool if row["planted"] == "noisy")
    assert not noisy & true


def test_no_question_of_target_or_test_stands_in_the_pool():
    pool, target, test = rows(2000)
    asked = {row["prompt"] for row in pool}
    assert not asked & {row["prompt"] for row in target + test}
    assert not {row["prompt"] for row in target} & {row["prompt"] for row in test}
