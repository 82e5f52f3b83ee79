"""A checkpoint fits any number of devices and workers, replicated or sharded."""

import os
import pathlib

import pytest

from tests.support import programs

pytestmark = pytest.mark.slow

RESHARDING = pathlib.Path(__file__).parent.joinpath("programs", "resharding.py")
# More take minutes: DEVICES=1,2,3 pytest tests/distribution/test_resharding.py
DEVICES = [int(number) for number in os.environ.get("DEVICES", "1,3").split(",")]


def test_each_restores_onto_each_bit_for_bit(tmp_path):
    def run_on_all(action):
        processes = [
            programs.start([RESHARDING, action, tmp_path, count]) for count in DEVICES
        ]
        processes += programs.start_workers([RESHARDING, action, tmp_path, 0])
        return [programs.finish(process) for process in processes]

    run_on_all("save")
    # The shards of the two workers are in files of their own.
    (saved,) = (tmp_path / "0-sharded").iterdir()
    assert len(list(saved.glob("rows-*.npy"))) == 2
    num_saved = 2 * (len(DEVICES) + 1)
    for output in run_on_all("restore"):
        assert output.count("restored") == 2 * num_saved
