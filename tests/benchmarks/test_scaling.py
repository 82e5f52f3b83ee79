"""The benchmark of growth with n at tiny size."""

import pytest

import scaling

# A program of benchmarks/, of a minute or so.
pytestmark = pytest.mark.slow


@pytest.mark.timing
def test_a_step_is_traced_once_and_does_not_copy_the_bank(capsys):
    # A bank of 41 MB: a copy would be seen.
    scaling.main(
        ["--num_instances", "2000", "80000", "--batch_size=8", "--num_negatives=16"]
        + ["--repeats=3"]
    )
    lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    rows = [row for row in rows if len(row) > 7 and row[2] == "80000"]
    assert len(rows) == 8  # each alone and in a training step
    for *_, bank_size, _, _, peak, traces, _ in rows:
        assert bank_size == "41" and float(peak) < 35 and traces == "1"
