"""`fit`, `evaluate` and Keras's callbacks on two devices and on two workers."""

import pathlib
import re

import pytest

from tests.support import programs

pytestmark = pytest.mark.slow

HABITS = pathlib.Path(__file__).parent.joinpath("programs", "habits.py")


def test_callbacks_and_evaluate_work_and_agree(tmp_path):
    folders = [tmp_path / name for name in ("mirrored", "0", "1")]
    for folder in folders:
        folder.mkdir()
    processes = [programs.start([HABITS, 2, folders[0]])]
    processes += programs.start_workers([HABITS, 0, tmp_path / "{worker}"])
    outputs = [programs.finish(process) for process in processes]
    losses = [re.search(r"finished with loss (\S+)", o).group(1) for o in outputs]
    assert losses[1] == losses[2]
    assert abs(float(losses[0]) - float(losses[1])) < 1e-4
