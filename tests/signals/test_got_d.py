"""Transport gradients: exact duals, finite differences, planted answers, and what may not change a value."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import linprog
from scipy.special import logsumexp
from scipy.stats import spearmanr

from thresher import building, methods, pipeline
from thresher.cli import main
from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.errors import FieldError, KindError, NonFinite, PoolError, Unconverged
from thresher.signals._sweeps import Source
from thresher.signals._transport import Settings, partial, score, solve
from thresher.signals.got_d import GotD
from thresher.signals.hashed_ngrams import HashedNgrams

EXACT = Settings(precision="float64", tolerance=1e-10, relative=False, epsilon=0.1)


def places(n: int, q: int, d: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(q, d)) * 0.7 + 0.4


def masses(n: int, seed: int) -> np.ndarray:
    weight = np.random.default_rng(seed).uniform(0.5, 1.5, n)
    return weight / weight.sum()


def costs(x: np.ndarray, z: np.ndarray) -> np.ndarray:
    return ((x[:, None] - z[None]) ** 2).sum(2)  # (n, q)


def exact(cost: np.ndarray, nu: np.ndarray, mu: np.ndarray) -> tuple[float, np.ndarray]:
    """Cost of transport, and the dual of the rows' masses."""
    n, q = cost.shape
    sums = np.vstack([np.kron(np.eye(n), np.ones(q)), np.kron(np.ones(n), np.eye(q))])
    found = linprog(cost.ravel(), A_eq=sums, b_eq=np.concatenate([nu, mu]), method="highs")
    dual = found.eqlin.marginals[:n]
    return found.fun, dual - nu @ dual


def test_as_epsilon_falls_it_comes_to_the_duals_of_the_linear_programme():
    """Uneven masses on both sides, or the duals would not be the only ones."""
    x, z = places(40, 9)
    nu, mu = masses(40, 1), masses(9, 2)
    cost = costs(x, z)
    value, dual = exact(cost, nu, mu)
    unit, apart, start = float(nu @ cost @ mu), [], None
    for epsilon in (0.3, 0.03, 0.003, 0.0003, 0.0001):
        settings = Settings(epsilon=epsilon, precision="float64", tolerance=1e-6)
        found = solve(Source(x, weight=nu), z, target_weight=mu, settings=settings, start=start)
        assert found.mean_cost == pytest.approx(unit)
        start = found.f
        far = np.abs(found.g - dual).max() / unit
        apart.append((1 - spearmanr(found.g, dual)[0], far, found.distance / value - 1))
    assert np.all(np.diff(np.array(apart), axis=0) <= 0), apart
    assert max(apart[-1]) < 1e-3, apart
    assert apart[1][0] < 0.01, "the default epsilon ranks as the exact duals do"


@pytest.mark.parametrize("ground", ["sqeuclidean", "cosine"])
def test_it_is_the_derivative_of_the_cost_in_a_rows_mass(ground):
    x, z = places(30, 7)
    nu, h = masses(30, 1), 1e-4
    settings = replace(EXACT, ground=ground)
    base = solve(Source(x, weight=nu), z, settings=settings)
    for j in (0, 11, 29):
        to_j = np.eye(30)[j] - nu  # mass moves from everyone to j
        up, down = (solve(Source(x, weight=nu + s * h * to_j), z, settings=settings).distance for s in (1, -1))
        assert (up - down) / (2 * h) == pytest.approx(base.g[j], abs=1e-6)


@pytest.mark.parametrize("epsilon", [0.5, 0.1, 0.02])
@pytest.mark.parametrize("form", ["kept", "fused"])
def test_the_rare_class_that_the_target_has_more_of_comes_first(epsilon, form):
    """4,950 cats and 50 dogs in the pool, half and half in the target: every pick is a dog."""
    rng = np.random.default_rng(0)
    dog = np.arange(5000) % 100 == 0
    kind = rng.normal(size=(2, 16))
    x = (kind[dog.astype(int)] + 0.3 * rng.normal(size=(5000, 16))).astype(np.float32)
    z = (kind[np.arange(40) % 2] + 0.3 * rng.normal(size=(40, 16))).astype(np.float32)
    found = solve(x, z, settings=Settings(epsilon=epsilon, kernel_bytes=0.0 if form == "fused" else 1e9))
    assert found.form == form
    assert found.converged
    assert dog[np.argsort(found.g, kind="stable")[:50]].all()
    assert (found.g[dog] < 0).all()


def alternating(cost: np.ndarray, nu: np.ndarray, mu: np.ndarray, epsilon: float, rounds: int) -> tuple:
    """Both potentials in turn, from f = 0, as every textbook has it."""
    f = np.zeros(len(mu))
    for _ in range(rounds):
        g = -epsilon * logsumexp((f - cost) / epsilon, axis=1, b=mu)
        f = -epsilon * logsumexp((g[:, None] - cost) / epsilon, axis=0, b=nu[:, None])
    return f, -epsilon * logsumexp((f - cost) / epsilon, axis=1, b=mu)


@pytest.mark.parametrize("form", ["kept", "fused"])
def test_one_pass_is_the_alternating_iteration(form):
    x, z = places(50, 8)
    nu, mu = masses(50, 1), masses(8, 2)
    f, g = alternating(costs(x, z), nu, mu, 0.1, 6)
    plain = replace(EXACT, omega=1.0, memory=0, max_sweeps=7, kernel_bytes=0.0 if form == "fused" else 1e9)
    found = solve(Source(x, weight=nu), z, target_weight=mu, settings=plain)
    assert found.sweeps == 7
    assert_allclose(found.f, f - mu @ f, atol=1e-8)
    assert_allclose(found.g, g - nu @ g, atol=1e-8)


def test_order_blocks_form_start_and_a_second_copy_of_all_rows_change_nothing():
    x, z = places(300, 12)
    plain = solve(x, z, settings=EXACT)
    mixed = np.random.default_rng(3).permutation(300)
    assert_allclose(solve(x[mixed], z, settings=EXACT).g, plain.g[mixed], atol=1e-9)
    assert_allclose(solve(x, z, settings=replace(EXACT, block_bytes=3000.0, kernel_bytes=0.0)).g, plain.g, atol=1e-9)
    assert_allclose(solve(x, z, settings=EXACT, start=plain.f + 5.0).g, plain.g, atol=1e-9, err_msg="f is but a shift")
    assert_allclose(solve(np.vstack([x, x]), z, settings=EXACT).g[:300], plain.g, atol=1e-9)
    assert_allclose(solve(Source(x, weight=np.full(300, 7.0)), z, settings=EXACT).g, plain.g, atol=1e-9)
    assert_allclose(score(x, plain), plain.g, atol=1e-9)
    assert abs(plain.g.mean()) < 1e-12


def test_a_kept_kernel_is_made_anew_before_its_scalings_leave_single_precision():
    """At a small epsilon potentials move by hundreds of epsilons."""
    x, z = places(200, 10)
    settings = Settings(epsilon=0.004, tolerance=1e-6)
    kept, fused = (solve(x, z, settings=replace(settings, kernel_bytes=size)) for size in (1e9, 0.0))
    assert np.abs(kept.f).max() / kept.how.epsilon > 60
    assert kept.converged
    assert_allclose(kept.g, fused.g, atol=0.1 * kept.how.epsilon)


def test_steps_too_long_are_taken_back():
    """Far from the top omega just below 2 overshoots; the limit is met all the same, within the passes of omega 1."""
    x, z = places(150, 20, seed=4)
    passes = {}
    for omega in (1.0, 1.5, 1.95):
        found = solve(x, z, settings=replace(EXACT, epsilon=0.05, omega=omega, memory=0, tolerance=1e-6))
        assert found.converged
        passes[omega] = found.sweeps
    assert passes[1.5] < passes[1.0]
    mixed = solve(x, z, settings=replace(EXACT, epsilon=0.05, tolerance=1e-6))
    assert mixed.sweeps < passes[1.5], "the default foretells its steps"


def test_sums_of_shards_are_the_sum():
    x, z = places(200, 9)
    weight = masses(200, 5)
    for rho in (None, 0.2):
        found = solve(Source(x, weight=weight), z, settings=replace(EXACT, rho=rho))
        whole = partial(Source(x, weight=weight), found)
        shards = [partial(Source(x, weight=weight).shard(at, at + 50), found) for at in range(0, 200, 50)]
        joined = shards[0].plus(shards[1]).plus(shards[3]).plus(shards[2])
        scale = np.exp(joined.shift - whole.shift)
        assert_allclose(joined.received * scale, whole.received, rtol=1e-12)
        assert joined.total * scale == pytest.approx(whole.total, rel=1e-12)
        assert_allclose(whole.received / whole.total, found.weight, atol=1e-9, err_msg="the targets' masses are met")


@pytest.mark.parametrize("rho", [0.02, 1.0, 50.0])
def test_with_rho_a_row_holds_its_mass_times_exp_of_minus_g_over_rho(rho):
    x, z = places(80, 9)
    nu = masses(80, 1)
    found = solve(Source(x, weight=nu), z, settings=replace(EXACT, rho=rho))
    g = found.g + found.centre
    plan = found.weight * nu[:, None] * np.exp((found.f + g[:, None] - costs(x, z)) / 0.1)  # (n, q)
    assert_allclose(plan.sum(1), nu * np.exp(-g / rho), rtol=1e-7)
    assert_allclose(plan.sum(0), found.weight, atol=1e-9)
    assert plan.sum() == pytest.approx(1.0, abs=1e-9)


def test_both_ends_of_rho():
    x, z = places(200, 9)
    cost = costs(x, z)
    vote = np.exp(-cost / 0.5 - logsumexp(-cost / 0.5, axis=0)).mean(1)  # sum_z mu_z softmax_j(-C_zj / eps)
    soft = solve(x, z, settings=replace(EXACT, epsilon=0.5, rho=1e-6))
    assert_allclose(np.exp(-(soft.g + soft.centre) / 1e-6) / 200, vote, atol=1e-6)
    usual = Settings(precision="float64", tolerance=1e-6)
    plain, stiff = (solve(x, z, settings=replace(usual, rho=rho)) for rho in (None, 100.0))
    top = [set(np.argsort(found.g)[:20]) for found in (plain, stiff)]
    assert len(top[0] & top[1]) >= 19
    assert stiff.sweeps <= 2 * plain.sweeps, "a large rho converges as no rho does"


def test_a_potential_of_a_sample_ranks_the_whole_pool():
    rng = np.random.default_rng(0)
    centre = rng.normal(size=(12, 8))
    x = (centre[rng.integers(0, 12, 20_000)] + 0.6 * rng.normal(size=(20_000, 8))).astype(np.float32)
    z = (centre[rng.integers(0, 5, 100)] + 0.6 * rng.normal(size=(100, 8))).astype(np.float32)
    whole = solve(x, z)
    sample = solve(x[rng.permutation(20_000)[:5000]], z)
    assert spearmanr(score(x, sample), whole.g)[0] >= 0.99


def test_bfloat16_ends_in_single_precision_within_the_tolerance():
    x, z = places(500, 20, d=16)
    fine, rough = (
        solve(x, z, settings=Settings(tolerance=1e-4, precision=precision)) for precision in ("float32", "bfloat16")
    )
    assert rough.converged
    assert_allclose(rough.g, fine.g, atol=2e-3 * fine.how.epsilon)


def test_one_target_row_is_a_ranking_by_distance():
    x, z = places(50, 1)
    found = solve(x, z)
    assert found.converged
    assert (np.argsort(found.g) == np.argsort(costs(x, z)[:, 0])).all()


def test_what_cannot_be_transported_is_refused():
    x, z = places(50, 5)
    with pytest.raises(PoolError, match="nothing to transport"):
        solve(np.ones((9, 3)), np.ones((4, 3)))
    bad = x.copy()
    bad[7, 1] = np.nan
    with pytest.raises(NonFinite, match="7"):
        solve(bad, z)
    for wrong in ({"epsilon": 0.0}, {"omega": 2.0}, {"tolerance": -1.0}, {"rho": 0.0}, {"max_sweeps": 0}):
        with pytest.raises(FieldError, match=next(iter(wrong))):
            Settings(**wrong)
    stopped = solve(x, z, settings=Settings(epsilon=1e-4, max_sweeps=5))
    assert not stopped.converged
    assert len(stopped.trace) == 5
    with pytest.raises(Unconverged, match=r"5 passes.*larger epsilon.*max_sweeps.*tolerance.*--allow-unconverged"):
        stopped.require()


WORDS = ["red", "green", "blue", "bread", "wheat", "river", "stone", "cloud", "music", "paper"]


def lines(n: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, 6)) for _ in range(n)]


def pool_of(texts: list[str], name: str = "pool", **columns: list) -> Pool:
    origin = [{"text": text, **{key: value[i] for key, value in columns.items()}} for i, text in enumerate(texts)]
    return Pool.from_messages([[{"role": "text", "content": text}] for text in texts], origin=origin, name=name)


def test_a_rows_mass_is_as_good_as_that_many_copies(tmp_path):
    texts, target = lines(30, 0), pool_of(lines(6, 1), "target", mass=[1.0] * 6)
    of = HashedNgrams(d=64)
    weighed = pool_of(texts, mass=[3.0 if i < 10 else 1.0 for i in range(30)])
    copied = pool_of(texts + 2 * texts[:10])
    signal = GotD(of=of, tolerance=1e-5, weight="mass")
    idf = of.prepare(weighed, None, tmp_path)
    one = signal.prepare_over(weighed, target, tmp_path, of.measure(idf, weighed))
    plain = replace(signal, weight="")
    two = plain.prepare_over(copied, target, tmp_path, of.measure(idf, copied))
    assert two.about["distinct"] == 30, "copies are one row with a mass"
    assert_allclose(
        signal.measure_over(one, weighed, of.measure(idf, weighed)),
        plain.measure_over(two, weighed, of.measure(idf, weighed)), atol=1e-4,
    )  # fmt: skip
    with pytest.raises(PoolError, match=r"mass.*above 0"):
        signal.prepare_over(pool_of(texts, mass=[0.0] * 30), target, tmp_path, of.measure(idf, weighed))
    with pytest.raises(PoolError, match="nothing to rank"):
        plain.prepare_over(weighed, target, tmp_path, np.ones((30, 64), np.float32))
    with pytest.raises(KindError, match="dimensions"):
        plain.prepare_over(weighed, target, tmp_path, of.measure(idf, weighed)[:, :5])


def test_the_whole_pool_is_fitted_from_the_samples_potential_on(store: Store):
    pool, target = pool_of(lines(200, 0)), pool_of(lines(10, 1), "target")
    plain = GotD(tolerance=1e-4)
    everything = pipeline.measure(plain, pool, target, store=store)
    whole = pipeline.measure(replace(plain, fit_rows=40, whole=True), pool, target, store=store)
    sampled = pipeline.measure(replace(plain, fit_rows=40), pool, target, store=store)
    assert_allclose(whole.values, everything.values, atol=1e-3)
    assert np.abs(sampled.values - everything.values).max() > 1e-3
    account = whole.manifest["account"]
    assert account["fitted_rows"] == 200
    assert account["sample"]["sweeps"] > 0
    assert account["converged"]
    assert account["marginal_error"] <= 1e-4
    assert sampled.manifest["account"]["fitted_rows"] == 40


def test_contrast_is_the_reverse_and_copies_are_chosen_once(store: Store):
    texts = lines(40, 0)
    pool, target = pool_of(texts + texts[:15]), pool_of(lines(8, 1), "target")
    signals, selector = building.build(methods.get("got-d:hash"), model=None, scorer=None)
    score_, label = (pipeline.measure(signal, pool, target, store=store).values for signal in signals)
    order = {}
    for highest in (False, True):
        one = replace(selector, highest=highest)
        order[highest] = one.choose(
            score_, label, price=np.ones(55), budget=55.0, rng=np.random.default_rng(0)
        ).index  # fmt: skip
    assert [texts.index(pool.text()[row]) for row in order[True]] == [
        texts.index(pool.text()[row]) for row in order[False][::-1]
    ]
    assert len(order[True]) == len(set(texts)), "of a text and its copies one is chosen"


def test_unconverged_ends_the_command_with_code_1_unless_allowed(tmp_path: Path, capsys: pytest.CaptureFixture):
    import json

    for name, seed, n in (("pool", 0, 40), ("target", 1, 8)):
        rows = "".join(json.dumps({"text": text}) + "\n" for text in lines(n, seed))
        (tmp_path / f"{name}.jsonl").write_text(rows)
    command = [
        "select", "got-d:hash", str(tmp_path / "pool.jsonl"), "--target", str(tmp_path / "target.jsonl"), "--budget",
        "5 rows", "--out", str(tmp_path / "out"), "--store", str(tmp_path / "store"), "--set", "epsilon=1e-4", "--set",
        "max_sweeps=3",
    ]  # fmt: skip
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 1
    said = capsys.readouterr().err
    assert "after 3 passes" in said
    assert "fault of thresher's own" not in said
    assert not (tmp_path / "out").exists()
    main([*command, "--allow-unconverged"])
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert card["accounts"]["got_d"]["converged"] is False
