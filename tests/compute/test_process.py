"""Settings that must come before torch, tried in processes of their own."""

import json
import os
import subprocess
import sys

import pytest

ASK = """
import dataclasses, json, os{first}
from thresher.compute.process import settle
said = dataclasses.asdict(settle({arguments}))
print(json.dumps({{**said, "omp": os.environ.get("OMP_NUM_THREADS")}}))
"""


def settled(arguments="", first="", **variables):
    """What `settle` says in a fresh process."""
    unset = ("OMP_WAIT_POLICY", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {key: value for key, value in os.environ.items() if key not in unset}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    code = ASK.format(arguments=arguments, first=first)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment | variables, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_waiting_threads_sleep_and_threads_are_left_alone():
    said = settled()
    assert said["wait_policy"] == "passive"
    assert said["threads"] is None
    assert said["omp"] is None
    assert said["before_torch"]


def test_what_the_user_has_set_stays():
    assert settled(OMP_WAIT_POLICY="active", OMP_NUM_THREADS="3") | {"keeps_memory": None} == {
        "wait_policy": "active", "threads": None, "keeps_memory": None, "before_torch": True, "omp": "3",
    }  # fmt: skip


def test_an_explicit_number_of_threads_wins():
    assert settled("threads=2", OMP_NUM_THREADS="3")["omp"] == "2"


def test_memory_is_given_back_when_asked():
    assert settled("keep_memory=False")["keeps_memory"] is False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator only")
def test_the_allocator_takes_the_setting_on_glibc():
    if os.confstr("CS_GNU_LIBC_VERSION") is None:
        pytest.skip("the C library is not glibc")
    assert settled()["keeps_memory"] is True


def test_coming_after_torch_is_said():
    late = "; import sys, types; sys.modules['torch'] = types.ModuleType('torch')"
    assert settled(first=late)["before_torch"] is False
