"""Values of fields as recipes write them."""

from __future__ import annotations

import pytest
import yaml

from thresher.core.field_value import fitted


@pytest.mark.parametrize("text", ["2e-4", "2E-4", "2.e-4", "2.0e-4", "0.0002"])
def test_every_way_yaml_lets_one_write_a_number(text: str):
    assert fitted(float, yaml.safe_load(text)) == 2e-4, "YAML 1.1 reads a power without a point or sign as text"


@pytest.mark.parametrize("value", ["1e", "e5", "many", "0x10", "nan", ""])
def test_other_text_is_no_number(value: str):
    with pytest.raises(ValueError, match="must be a number, not"):
        fitted(float, value)


def test_text_stays_text_where_text_is_asked_for():
    assert fitted(str, "2e-4") == "2e-4"
