"""Facility location against apricot-select: the same order, the same gains."""

from __future__ import annotations

import numpy as np
import pytest

from thresher.selectors.facility_location import FacilityLocation

pytestmark = pytest.mark.parity


@pytest.mark.slow  # theirs is compiled first
@pytest.mark.filterwarnings("ignore")  # theirs
def test_order_and_gains_are_apricots():
    apricot = pytest.importorskip("apricot", reason="apricot-select is not installed (extra: parity)")
    rng = np.random.default_rng(0)
    centre = rng.normal(size=(8, 24))
    feature = centre[rng.integers(0, 8, 400)] + rng.normal(size=(400, 24))  # (n, d)
    unit = feature / np.linalg.norm(feature, axis=1, keepdims=True)
    near = np.maximum(unit @ unit.T, 0.0)
    theirs = apricot.FacilityLocationSelection(40, metric="precomputed", optimizer="lazy").fit(near)
    for similarity in ("dense", "recomputed"):
        ours = FacilityLocation(similarity=similarity).choose(feature, price=np.ones(400), budget=40.0, rng=rng)
        assert ours.index.tolist() == theirs.ranking.tolist()
        np.testing.assert_allclose(ours.gain, theirs.gains, rtol=1e-9)
        assert ours.gain.sum() == pytest.approx(near[:, ours.index].max(axis=1).sum(), rel=1e-9)
