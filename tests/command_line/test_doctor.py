"""What `npid doctor` finds, and what it says of what is missing."""

import pytest

from npid_tf.command_line import doctor


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """Makes packages that do not import, in the place of those that are there."""

    def make(name, code="raise ImportError('no such file')"):
        (tmp_path / f"{name}.py").write_text(code)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return make


def test_an_extra_that_is_broken_is_named_with_its_cost_and_its_cure(broken, capsys):
    broken("pymilvus")
    assert doctor.main() == 0  # All else works.
    shown = capsys.readouterr().out
    for word in ("npid_tf", "Python", "Machine", "tensorflow ", "GPU", "bfloat16"):
        assert word in shown
    assert "pymilvus" in shown and "no --engine=milvus" in shown
    assert "ImportError: no such file" in shown
    assert "pip install 'npid_tf[milvus]'" in shown


def test_a_needed_package_that_is_broken_is_told_by_the_exit_status(broken, capsys):
    broken("tensorflow")
    broken("keras")
    broken("scann")
    broken("tensorflow_datasets")
    assert doctor.main() == 1
    assert "pip install 'npid_tf'" in capsys.readouterr().out


def test_an_import_that_ends_the_process_is_told(broken, capsys):
    broken("tensorflow", "import os; os._exit(3)")
    assert doctor.main() == 1
    assert "the imports ended with status 3" in capsys.readouterr().out


def test_words_are_refused(capsys):
    assert doctor.main(["x"]) == 2
    assert "Unexpected arguments: x" in capsys.readouterr().err
