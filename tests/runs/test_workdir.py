"""What a command line means by a run, and what is recorded of it."""

import dataclasses
import os

import pytest

from npid_tf.command_line.given import parse
from npid_tf.command_line.programs import flags_of_all_programs
from npid_tf.errors import UserError
from npid_tf.runs.plan import print_changed_flags
from npid_tf.runs.train_flags import TrainFlags
from npid_tf.runs.workdir import (
    RUN_FIELDS,
    path_of_run,
    read_flags,
    read_run,
    run_of,
    write_run,
)


def given(*words):
    return parse(words, RUN_FIELDS, flags_of_all_programs)


@pytest.fixture
def config(tmp_path):
    config = TrainFlags(
        workdir=str(tmp_path / "run"),
        epochs=7,
        k=(3, 5),
        eval_split="test",
        z_decay=0.5,
    )
    write_run(config)
    return config


def test_what_is_written_is_read_from_either_file(config, tmp_path):
    assert TrainFlags.of(read_run(config.workdir)) == config
    (tmp_path / "run" / "run.json").unlink()
    assert TrainFlags.of(read_run(config.workdir)) == config


def test_a_run_is_named_by_its_folder_or_by_its_name_in_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert path_of_run("photos") == "runs/photos"
    (tmp_path / "photos").mkdir()
    assert path_of_run("photos") == "photos"
    assert path_of_run("some/where") == "some/where"


def test_where_data_are_may_be_given_anew_and_all_else_is_the_run_s(config):
    moved, recorded = run_of(given(config.workdir, "--dataset=npz:there.npz"))
    assert moved == dataclasses.replace(config, dataset="npz:there.npz")
    assert recorded["epochs"] == 7
    with pytest.raises(UserError, match="--epochs is a flag of train"):
        given(config.workdir, "--epochs=9")


def test_a_file_of_flags_may_name_the_run_as_before(config, tmp_path, recwarn):
    path = tmp_path / "run" / "flags.cfg"
    assert run_of(given(f"--flagfile={path}"))[0] == config
    assert not recwarn.list
    other = tmp_path / "other.cfg"
    other.write_text(f"{path.read_text()}\n--epochs=9\n--seed=4\n")
    with pytest.warns(UserWarning, match="has its own epochs"):
        found, _ = run_of(given(f"--flagfile={other}"))
    assert found == dataclasses.replace(config, seed=4)


def test_a_run_without_a_record_is_what_the_file_says(tmp_path):
    path = tmp_path / "flags.cfg"
    path.write_text(f"--workdir={tmp_path}/run\n--epochs=9\n--recall=.9\n")
    config, _ = run_of(given(f"--flagfile={path}"))
    assert (config.epochs, config.workdir) == (9, f"{tmp_path}/run")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "`workdir` is required"),
        (["--workdir=no/where"], "No run in no/where"),
        (["no/where"], "No run in no/where"),
        (["no/where", "--dataset=digits"], "No run in no/where"),
        (["no/where", "x"], "Unexpected arguments: x"),
    ],
)
def test_no_run_is_refused(words, message):
    with pytest.raises(UserError, match=message):
        run_of(given(*words))


def test_names_of_any_bytes_are_in_the_record_of_a_run(tmp_path, capsys):
    config = TrainFlags(
        workdir=str(tmp_path), dataset=os.fsdecode(b"folder:/ph\xe9tos \xff")
    )
    write_run(config)
    assert read_run(str(tmp_path))["dataset"] == config.dataset
    path = tmp_path / "flags.cfg"
    assert b"--dataset=folder:/ph\xe9tos \xff\n" in path.read_bytes()
    assert read_flags([f"--flagfile={path}"]).values["dataset"] == config.dataset
    print_changed_flags(str(path), config)
    assert capsys.readouterr().out == ""
    path.write_bytes(path.read_bytes() + b"--split=\xff\n")  # Damage is still seen.
    print_changed_flags(str(path), config)
    assert "flags.cfg is damaged" in capsys.readouterr().out
