"""The table of devices."""

import pytest

from thresher.compute import hardware
from thresher.errors import UnknownName

DRIVER_NAMES = {
    ("NVIDIA H100 80GB HBM3", 85e9): "h100-sxm",
    ("NVIDIA H100 PCIe", 85e9): "h100-pcie",
    ("NVIDIA H200", 150e9): "h200",
    ("NVIDIA B200", 190e9): "b200",
    ("NVIDIA A100-SXM4-80GB", 85e9): "a100-80gb",
    ("NVIDIA A100-PCIE-40GB", 42e9): "a100-40gb",
    ("NVIDIA L40S", 48e9): "l40s",
    ("NVIDIA A10", 24e9): "a10",
    ("NVIDIA L4", 24e9): "l4",
    ("Tesla T4", 16e9): "t4",
    ("Tesla V100-SXM2-32GB", 34e9): "v100",
    ("NVIDIA GeForce RTX 4090", 25e9): "rtx-4090",
    ("NVIDIA GeForce RTX 3090", 25e9): "rtx-3090",
    ("AMD Instinct MI300X", 200e9): "mi300x",
}


@pytest.mark.parametrize("name", [n for n in hardware.names() if n != "cpu"])
def test_every_line_is_whole_and_plausible(name):
    device = hardware.get(name)
    assert device.sheet
    assert 1e12 < device.peak_fp32_flops < device.peak_flops < 1e16
    assert 10e9 < device.memory_bytes < 300e9
    assert 0 < device.usd_per_hour < 20


def test_every_line_is_found_by_what_its_driver_says():
    assert {hardware.named(*said): name for said, name in DRIVER_NAMES.items()} == {
        name: name for name in hardware.names() if name != "cpu"
    }


def test_a_misspelt_device_names_the_nearest():
    with pytest.raises(UnknownName, match=r"Did you mean 'h100-sxm'"):
        hardware.get("h100-sxn")


def test_a_device_like_one_of_the_table_is_not_taken_for_it():
    with pytest.raises(UnknownName, match="A10G"):
        hardware.named("NVIDIA A10G", 24e9)


def test_this_machine_is_measured_once():
    first = hardware.measure_cpu(0.02)
    assert hardware.measure_cpu(0.02) is first
    assert first.peak_flops >= first.peak_fp32_flops > 1e8
    assert first.peak("float32") == first.peak_fp32_flops
    assert first.peak("bfloat16") == first.peak_flops
