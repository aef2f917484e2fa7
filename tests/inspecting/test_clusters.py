"""Purity by hand."""

from __future__ import annotations

import numpy as np
import pytest

from thresher.inspecting.clusters import Clusters, curves, purity
from thresher.selectors.cluster_balanced import ClusterBalanced


def test_purity_is_the_share_of_the_commonest_topic():
    label, topic = np.array([0, 0, 0, 1, 1, 3]), np.array([5, 5, 7, 7, 9, 9])
    assert purity(label, topic).tolist() == [pytest.approx(2 / 3), 0.5, 1.0]


def test_curves_are_of_one_cluster_and_of_different_ones():
    label = np.repeat(np.arange(3), [30, 20, 6])
    loss = np.linspace(3, 1, 4)[None] + label[:, None]
    found = Clusters(np.arange(56) * 2, label, loss, ClusterBalanced(), "trajectory")
    said = curves(found, loss, [10, 20, 30, 40])
    assert said["cluster"] == 1
    assert {line["cluster"] for line in said["inside"]} == {1}
    assert len(said["inside"]) == 5
    assert sorted(line["cluster"] for line in said["across"]) == [0, 1, 2]
    for line in said["inside"] + said["across"]:
        assert line["loss"] == pytest.approx(loss[line["row"] // 2].tolist(), abs=1e-4)
    assert [centre["size"] for centre in said["centres"]] == [30, 20, 6]
    assert said["centres"][2]["loss"] == pytest.approx([5.0, 13 / 3, 11 / 3, 3.0], abs=1e-4)
