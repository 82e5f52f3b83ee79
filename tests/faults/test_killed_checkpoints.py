"""A checkpoint whose writing is killed, or loses its power, is whole or not there."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from npid_tf.checkpoints.checkpoints import Checkpoints
from npid_tf.checkpoints.files import list_damaged
from tests.support import checkpoint_writer
from tests.support.kill_points import lose_power
from tests.support.saved_models import BANKS, FINGERPRINT, build, fill, is_same, state

WRITER = pathlib.Path(checkpoint_writer.__file__)
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
FIRST, SECOND, THIRD = 1, 2, 3


class Writer:
    """`checkpoint_writer.py` with a bank of a kind, and a model to read it with."""

    def __init__(self, kind, folder):
        self.folder, self.number = folder, 0
        self.process = subprocess.Popen(
            [sys.executable, WRITER, kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
        self.model = build(kind)
        self.states = []
        for step in range(THIRD + 1):
            fill(self.model, step)
            self.states.append(state(self.model))
        for step in (FIRST, SECOND):
            self.save(folder / "before", step)
        self.num_operations = int(self.save(self.copy(), THIRD))

    def copy(self):
        """A new folder with the checkpoints of the first two steps."""
        self.number += 1
        folder = self.folder / str(self.number)
        shutil.copytree(self.folder / "before", folder)
        return folder

    def save(self, folder, step, kill_at=0, num_bytes=0):
        log = f"{folder}.log"
        line = f"{folder} {step} {kill_at} {log} {num_bytes}\n"
        self.process.stdin.write(line)
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def restored_step(self, folder):
        """The step whose state, bit by bit, a new process would go on with."""
        fill(self.model, 0)
        checkpoints = Checkpoints(folder, self.model, FINGERPRINT)
        step = checkpoints.restore().epoch
        assert is_same(state(self.model), self.states[step])
        assert list_damaged(folder) == []  # Nothing that had a number was not whole.
        fill(self.model, THIRD + 1)
        checkpoints.save(THIRD + 1, 0)  # What is left over is in nobody's way.
        assert {name for name in os.listdir(folder) if not name.isdigit()} <= {
            ".removed"
        }
        return step

    def close(self):
        self.process.stdin.close()
        self.process.wait()


@pytest.fixture
def writer(request, tmp_path):
    writer = Writer(request.param, tmp_path)
    yield writer
    writer.close()


def check(writer, kill_points, byte_limits):
    """Kills at each point, and loses power there; counts what is restored."""
    restored = {SECOND: 0, THIRD: 0}
    rng = np.random.default_rng(0)
    kills = [(number, 0) for number in kill_points]
    kills += [(0, num_bytes) for num_bytes in byte_limits]
    for number, num_bytes in kills:
        folder = writer.copy()
        assert writer.save(folder, THIRD, number, num_bytes) == "killed"
        powerless = folder.with_name(f"{folder.name}-powerless")
        shutil.copytree(folder, powerless)
        _lose_power(folder, powerless, rng)
        for place in (folder, powerless):
            restored[writer.restored_step(place)] += 1
            shutil.rmtree(place)
    print(
        f"{len(kill_points)} kill points of {writer.num_operations} operations, "
        f"{len(byte_limits)} byte limits, each with and without power: {restored}"
    )
    return restored


def _lose_power(folder, copy, rng):
    """Of the copy, by the log of the folder."""
    log = pathlib.Path(f"{copy}.log")
    log.write_text(
        re.sub(
            rf"{re.escape(str(folder))}(?=[/\t])",
            str(copy),
            pathlib.Path(f"{folder}.log").read_text(),
        )
    )
    for source, target in zip(
        sorted(folder.rglob("*")), sorted(copy.rglob("*")), strict=True
    ):
        times = source.stat()
        os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))
    lose_power(copy, log, rng)


@pytest.mark.parametrize("writer", ["memory_bank"], indirect=True)
def test_killed_at_some_operations_the_last_whole_one_is_there(writer):
    last = writer.num_operations
    restored = check(writer, [last // 3, last - 6, last], [700])
    assert restored[SECOND] and restored[THIRD]


@pytest.mark.slow
@pytest.mark.parametrize("writer", ["memory_bank"], indirect=True)
def test_killed_at_every_operation_the_last_whole_one_is_there(writer):
    points = range(1, writer.num_operations + 1)
    restored = check(writer, points, [100, 300, 700, 1000, 1500, 1700])
    assert len(points) >= 64
    assert restored[SECOND] >= 64 and restored[THIRD]


@pytest.mark.slow
@pytest.mark.parametrize("writer", sorted(set(BANKS) - {"memory_bank"}), indirect=True)
def test_so_it_is_for_the_other_banks(writer):
    restored = check(writer, range(1, writer.num_operations + 1, 7), [300, 1500])
    assert restored[SECOND] >= 20 and restored[THIRD]


def test_all_is_on_disk_before_it_has_its_name(tmp_path, monkeypatch):
    model, events = build("memory_bank"), []
    fsync, rename = os.fsync, os.rename

    def noted_fsync(descriptor):
        fsync(descriptor)
        events.append(os.path.realpath(f"/proc/self/fd/{descriptor}"))

    def noted_rename(source, target):
        files = [os.path.join(source, name) for name in os.listdir(source)]
        events.append({"renamed": target, "files": [source, *files]})
        rename(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "rename", noted_rename)
    fill(model, 1)
    Checkpoints(tmp_path, model, FINGERPRINT).save(0, 0)
    (index,) = [i for i, event in enumerate(events) if isinstance(event, dict)]
    assert os.path.basename(events[index]["renamed"]) == "000000001"
    assert set(events[index]["files"]) <= set(events[:index])
    assert len(events[index]["files"]) == 6
    assert str(tmp_path) in events[index + 1 :]
