"""Bars: in programs alone, patient, and a line now and then where nobody looks."""

import io
import sys
import time

import pytest

from npid_tf.command_line import progress as module
from npid_tf.command_line.progress import progress, show_progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    monkeypatch.setattr(module, "_shown", False)


def shown(monkeypatch, stderr, total=4):
    monkeypatch.setattr(sys, "stderr", stderr)
    with progress("Embedding", total) as bar:
        for _ in range(4):
            time.sleep(0.01)
            bar.update(1)
    return stderr.getvalue()


def test_a_terminal_has_a_bar_with_the_time_left(monkeypatch):
    show_progress()
    monkeypatch.setattr(module, "PATIENCE", 0)
    monkeypatch.setattr(module, "REFRESH", 0)
    states = shown(monkeypatch, Terminal()).split("\r")
    assert any("Embedding:  50%" in s and "2/4 [00:00<00:00" in s for s in states)
    assert "100%" in states[-1] and states[-1].endswith("\n")


def test_a_log_has_lines(monkeypatch):
    show_progress()
    monkeypatch.setattr(module, "BETWEEN_LINES", 0.015)
    lines = shown(monkeypatch, io.StringIO()).splitlines()
    assert lines[0].startswith("Embedding: ") and lines[0].endswith(" left")
    assert lines[-1] == "Embedding: 100%, 4 of 4 images, 00:00 left"
    assert len(lines) < 4
    unknown = shown(monkeypatch, io.StringIO(), total=None)
    assert "4 images [00:00" in unknown and "%" not in unknown


@pytest.mark.parametrize("stderr", [Terminal, io.StringIO])
def test_a_short_step_shows_nothing(monkeypatch, stderr):
    show_progress()
    assert shown(monkeypatch, stderr()) == ""


@pytest.mark.parametrize("stderr", [Terminal, io.StringIO])
def test_from_python_nothing_is_shown(monkeypatch, stderr):
    monkeypatch.setattr(module, "PATIENCE", 0)
    monkeypatch.setattr(module, "BETWEEN_LINES", 0)
    assert shown(monkeypatch, stderr()) == ""
