"""The benchmark of the instance classifier's rows, at a tiny size."""

import os
import pathlib
import subprocess
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def test_times_all_rows_and_recent_ones_and_plots_them(tmp_path):
    # In a process of its own: devices can be divided only before their first use.
    arguments = ["--num_instances", "501", "--num_recent=64", "--dim=8"]
    arguments += ["--batch_size=8", "--devices=2", "--steps=1"]
    result = subprocess.run(
        [sys.executable, "benchmarks/learned_rows.py", *arguments]
        + [f"--plot={tmp_path / 'it.png'}"],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split(" | ") for line in result.stdout.splitlines() if "GB" in line]
    names = [(line[0].strip("| "), line[1]) for line in lines]
    assert names == [("all rows", "501"), ("the last 64", "501")]
    assert all(float(line[3]) > 0 for line in lines)
    assert (tmp_path / "it.png").read_bytes().startswith(b"\x89PNG")
