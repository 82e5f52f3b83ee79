"""The benchmark of a bank spread over devices, at a tiny size."""

import pathlib
import subprocess
import sys

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_tells_the_rows_of_each_device():
    # In a process of its own: devices can be divided only before their first use.
    arguments = ["--num_instances=5001", "--dim=16", "--devices=2", "--steps=1"]
    result = subprocess.run(
        [sys.executable, "benchmarks/sharded_bank.py", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    told = "5,001 rows of 16 bfloat16 on 2 devices: 2,501, 2,501 rows each"
    assert told in result.stdout
    assert "step, nonparametric_softmax" in result.stdout
