"""Cosines inside and across clusters, and the error of subsets, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from thresher.inspecting.cosines import at_checkpoint, cluster_weights, cosine_split, subset_error, weighted_error

ROOT = 0.5**0.5


def test_the_split_by_hand():
    gradient = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0], [1.0, 1.0], [0.0, 0.0]])
    label = np.array([0, 0, 1, 1, 1])
    said = cosine_split(gradient, label, draws=50)
    # inside: 1 and 1/sqrt 2; across: 0, 1/sqrt 2 from each of the two; the zero gradient has no direction
    assert (said["rows"], said["zero"], said["pairs_in"], said["pairs_across"]) == (4, 1, 2, 4)
    assert said["in_cluster"]["value"] == pytest.approx((1 + ROOT) / 2)
    assert said["across"]["value"] == pytest.approx(ROOT / 2)
    assert said["difference"]["value"] == pytest.approx(0.5)


def test_planted_directions_are_found_and_random_labels_find_nothing():
    rng = np.random.default_rng(0)
    label = np.arange(120) % 4
    gradient = 2 * np.eye(16)[label] + rng.normal(size=(120, 16)) / 4
    planted, mixed = cosine_split(gradient, label), cosine_split(gradient, rng.permutation(label))
    assert planted["difference"]["low"] > 0.5
    assert mixed["difference"]["low"] < 0 < mixed["difference"]["high"]
    assert cosine_split(gradient, label) == planted, "seeded"


def test_one_cluster_has_no_pairs_across():
    said = cosine_split(np.eye(3), np.zeros(3, int), draws=20)
    assert said["across"] == {"value": None, "low": None, "high": None}
    assert said["difference"]["value"] is None


def test_the_error_of_a_weighted_subset_by_hand():
    gradient = np.array([[3.0, 0.0], [1.0, 0.0], [0.0, 4.0]])
    label = np.array([0, 0, 1])
    chosen = np.array([1, 2])
    assert cluster_weights(label, chosen).tolist() == [2.0, 1.0]
    # whole (4, 4), part 2 (1, 0) + 1 (0, 4) = (2, 4): 2 / sqrt 32
    assert weighted_error(gradient, chosen, cluster_weights(label, chosen)) == pytest.approx(2 / 32**0.5)
    everything = np.arange(3)
    assert weighted_error(gradient, everything, cluster_weights(label, everything)) == 0.0


def test_equal_gradients_in_each_cluster_leave_no_error_once_every_cluster_is_touched():
    label = np.repeat(np.arange(4), [10, 20, 30, 40])
    gradient = np.eye(6)[label] * 3.0
    said = subset_error(gradient, label, 4, draws=20)
    assert said["clustered"] == {"mean": pytest.approx(0.0, abs=1e-12), "sd": pytest.approx(0.0, abs=1e-12)}
    assert said["random"]["mean"] > 0.2
    assert (said["clusters"], said["clusters_touched"]) == (4, 4)
    fewer = subset_error(gradient, label, 2, draws=20)
    assert fewer["clustered"]["mean"] > 0.2, "what is not touched is missing"


def test_a_checkpoint_holds_the_selections_own_share():
    gradient = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
    said = at_checkpoint(5, gradient, np.arange(64) % 8, 0.3, seed=0)
    assert [error["k"] for error in said["error"]] == [4, 8, 16, 19, 32]
