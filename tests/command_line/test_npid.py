"""The command `npid`: which program it runs, and what it says."""

import runpy
import sys

import pytest

from npid_tf.command_line import npid
from npid_tf.command_line.programs import PROGRAMS
from npid_tf.files.version import __version__


def call(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["npid", *words])
    npid.main()


def test_help_names_every_program(monkeypatch, capsys):
    call(monkeypatch, "--help")
    shown = capsys.readouterr().out
    for name in (*PROGRAMS, "doctor"):
        assert f"npid {name} " in shown


def test_it_tells_its_version(monkeypatch, capsys):
    call(monkeypatch, "--version")
    assert capsys.readouterr().out == f"npid_tf {__version__}\n"


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_name_runs_its_module_with_the_other_words(name, monkeypatch):
    ran = []

    def run_module(module, **settings):
        ran.append((module, settings["run_name"], sys.argv[1:]))

    monkeypatch.setattr(runpy, "run_module", run_module)
    call(monkeypatch, name, "x", "--k=3")
    assert ran == [(f"npid_tf.{name}", "__main__", ["x", "--k=3"])]


def test_an_unknown_program_is_refused_with_the_known_ones(monkeypatch, capsys):
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, "trian")
    assert ended.value.code == 2
    shown = capsys.readouterr().err
    assert "Unknown program 'trian'. Did you mean train? Known: train, embed" in shown
