"""What `npid doctor` finds, and what it says of what is missing."""

import sys

from npid_tf.command_line import doctor


def test_it_finds_what_the_programs_need(capsys):
    assert doctor.main() == 0
    shown = capsys.readouterr().out
    for word in ("npid_tf", "Python", "Machine", "tensorflow", "GPU", "bfloat16"):
        assert word in shown


def test_a_missing_package_is_named_with_its_cost_and_its_cure(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    assert doctor.main() == 0  # An extra: all else works.
    shown = capsys.readouterr().out
    assert "pymilvus" in shown and "no --engine=milvus" in shown
    assert "pip install 'npid_tf[milvus]'" in shown
    monkeypatch.setitem(sys.modules, "scann", None)
    assert doctor.main() == 1
    assert "pip install 'npid_tf'" in capsys.readouterr().out


def test_words_are_refused(capsys):
    assert doctor.main(["x"]) == 2
    assert "Unexpected arguments: x" in capsys.readouterr().err
