"""metrics.jsonl: read as far as it is whole."""

import json

import pytest

from npid_tf.training.curves import plot_curves
from npid_tf.training.metrics_file import keep_epochs, read_metrics, write_line

GOOD = [{"epoch": 1, "loss": 3.0}, {"epoch": 2, "loss": 2.0}, {"epoch": 3, "loss": 1.0}]
DAMAGED = [
    b"\0\0\0\0\n",
    b'{"epoch": 2, "lo\n',
    b'{"epoch": 2, "loss": \xff\xfe}\n',
    b'{"loss": 2.0}\n',
    b'{"epoch": "two", "loss": 2.0}\n',
    b'{"epoch": 2, "loss": "low"}\n',
    b"[2]\n",
    b"\n",
    b"[" * 100_000 + b"\n",
]


def write(path, damaged):
    first, _, third = (json.dumps(line).encode() + b"\n" for line in GOOD)
    path.write_bytes(first + damaged + third)


@pytest.mark.parametrize("damaged", DAMAGED)
def test_damaged_lines_are_left_out_and_counted(tmp_path, damaged):
    path = tmp_path / "metrics.jsonl"
    write(path, damaged)
    with pytest.warns(UserWarning, match=r"1 damaged line"):
        assert read_metrics(path) == [GOOD[0], GOOD[2]]


def test_a_resumed_run_keeps_the_damaged_file_aside(tmp_path):
    path = tmp_path / "metrics.jsonl"
    write(path, b"\0\n")
    before = path.read_bytes()
    with pytest.warns(UserWarning, match=r"kept as .*metrics.jsonl.damaged"):
        keep_epochs(path, 2)
    assert (tmp_path / "metrics.jsonl.damaged").read_bytes() == before
    write_line(path, GOOD[1])
    assert read_metrics(path) == GOOD[:2]


def test_curves_are_drawn_of_what_is_left(tmp_path):
    write(tmp_path / "metrics.jsonl", b"\0\n")
    with pytest.warns(UserWarning):
        plot_curves(tmp_path / "metrics.jsonl", tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000
