"""A damaged checkpoint is found out and set aside, and the older one is used."""

import os
import pathlib
import shutil

import numpy as np
import pytest

from npid_tf.checkpoints.checkpoints import Checkpoints
from npid_tf.checkpoints.files import (
    find_damage,
    leave,
    list_checkpoints,
    list_damaged,
    newest_whole,
)
from npid_tf.checkpoints.weights import restore_encoder
from npid_tf.errors import UserError
from npid_tf.files import formats
from tests.support.damage import DAMAGES
from tests.support.saved_models import BANKS, FINGERPRINT, build, fill, is_same, state

OLDER, NEWER = 4, 8
SILENT = 99  # A state that no checkpoint holds.


class Saved:
    """A model of a kind, and a folder with its checkpoints of the steps 4 and 8."""

    def __init__(self, kind, folder):
        self.folder = folder
        self.model = build(kind)
        self.checkpoints = Checkpoints(folder, self.model, FINGERPRINT)
        self.states = {}
        for step in (OLDER, NEWER):
            fill(self.model, step)
            self.checkpoints.save(step, 0)
            self.states[step] = state(self.model)
        self.files = sorted(os.listdir(folder / f"{NEWER:09d}"))

    def copied_to(self, folder):
        shutil.copytree(self.folder, folder)
        return Checkpoints(folder, self.model, FINGERPRINT)

    def holds(self, step):
        return is_same(state(self.model), self.states[step])


@pytest.fixture(scope="module", params=BANKS)
def saved(request, tmp_path_factory):
    return Saved(request.param, tmp_path_factory.mktemp(request.param))


def each_damage(saved, tmp_path):
    """(name, a folder whose newer checkpoint has this damage), one after the other."""
    number = 0
    for file in saved.files:
        for damage in DAMAGES:
            number += 1
            name = f"{file} {damage.__name__}"
            folder = tmp_path / str(number)
            shutil.copytree(saved.folder, folder)
            path = folder / f"{NEWER:09d}" / file
            before = path.read_bytes()
            damage(path, np.random.default_rng(number))
            if not path.is_file() or path.read_bytes() != before:
                yield name, folder
            shutil.rmtree(folder)


def test_every_file_is_in_the_manifest(saved):
    kinds = {name.split("-")[0] for name in saved.files}
    expected = {"manifest.json", "state.json", "variables.data", "variables.index"}
    assert expected | {"rows"} <= kinds
    assert find_damage(saved.folder / f"{NEWER:09d}") is None


def test_every_damage_of_every_file_is_found(saved, tmp_path):
    count, silent = 0, []
    for name, folder in each_damage(saved, tmp_path):
        count += 1
        if find_damage(folder / f"{NEWER:09d}") is None:
            silent.append(name)
    print(f"{count} damages, {len(silent)} silent")
    assert not silent
    assert count >= 40


@pytest.mark.slow
def test_after_every_damage_the_older_one_is_restored(saved, tmp_path, capsys):
    count = 0
    for name, folder in each_damage(saved, tmp_path):
        fill(saved.model, SILENT)
        position = Checkpoints(folder, saved.model, FINGERPRINT).restore()
        assert position.epoch == OLDER and saved.holds(OLDER), name
        out = capsys.readouterr().out
        assert f"{NEWER:09d} is damaged, and was set aside" in out
        assert name.split()[0] in out, name
        count += 1
    print(f"{count} damages: {count} times the older one, 0 silent")
    assert count >= 40


def test_the_older_one_goes_on_as_if_the_damaged_had_never_been(saved, tmp_path):
    checkpoints = saved.copied_to(tmp_path / "run")
    (rows,) = (tmp_path / "run" / f"{NEWER:09d}").glob("rows-000000000000.npy")
    rows.unlink()
    fill(saved.model, SILENT)
    assert checkpoints.restore().epoch == OLDER
    assert saved.holds(OLDER)
    fill(saved.model, NEWER)  # The steps are taken again.
    checkpoints.save(NEWER, 0)
    (damaged,) = list_damaged(tmp_path / "run")
    assert os.listdir(damaged)  # Nothing of it was deleted.
    names = [os.path.basename(path) for path in list_checkpoints(tmp_path / "run")]
    assert names == [f"{OLDER:09d}", f"{NEWER:09d}"]
    fill(saved.model, SILENT)
    assert checkpoints.restore().epoch == NEWER and saved.holds(NEWER)


def test_where_all_are_damaged_it_stops_and_changes_nothing(saved, tmp_path):
    checkpoints = saved.copied_to(tmp_path / "run")
    for path in list_checkpoints(tmp_path / "run"):
        pathlib.Path(path, "variables.data-00000-of-00001").write_bytes(b"")
    fill(saved.model, SILENT)
    before = state(saved.model)
    for _ in range(2):  # The second time too, when they are set aside.
        with pytest.raises(UserError, match=r"No checkpoint in .* is whole"):
            checkpoints.restore()
        assert is_same(state(saved.model), before)
    assert len(list_damaged(tmp_path / "run")) == 2


def test_who_only_reads_passes_a_damaged_one_over(saved, tmp_path, capsys):
    checkpoints = saved.copied_to(tmp_path / "run")
    (tmp_path / "run" / f"{NEWER:09d}" / "state.json").write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    for path in before:
        path.chmod(0o555 if path.is_dir() else 0o444)  # As on a disk to read from.
    try:
        fill(saved.model, SILENT)
        assert checkpoints.restore(leave).epoch == OLDER
        assert saved.holds(OLDER)
        encoder = saved.model.encoder
        path = restore_encoder(tmp_path / "run", encoder)
    finally:
        for found in before:
            found.chmod(0o755)
    assert os.path.basename(path) == f"{OLDER:09d}"
    assert "an older one is used" in capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == before


def test_a_newer_format_is_refused_and_stays(saved, tmp_path, monkeypatch):
    monkeypatch.setitem(formats.FORMATS, "checkpoint", 2)
    checkpoints = Checkpoints(tmp_path / "run", saved.model, FINGERPRINT)
    fill(saved.model, NEWER)
    checkpoints.save(NEWER, 0)
    monkeypatch.undo()
    with pytest.raises(UserError, match=r"format 2.*install a newer npid_tf"):
        newest_whole(tmp_path / "run", leave)
    assert list_damaged(tmp_path / "run") == []


def test_files_that_are_not_ours_do_no_harm(saved, tmp_path):
    checkpoints = saved.copied_to(tmp_path / "run")
    (tmp_path / "run" / f"{NEWER:09d}" / ".DS_Store").write_bytes(b"\0")
    (tmp_path / "run" / "notes.txt").write_text("mine")
    assert checkpoints.restore().epoch == NEWER


def test_rows_of_another_folder_are_found(saved, tmp_path):
    checkpoints = saved.copied_to(tmp_path / "run")
    name = "rows-000000000000.npy"
    for step in (OLDER, NEWER):
        (tmp_path / "run" / f"{step:09d}" / name).chmod(0o644)
    shutil.copy(
        tmp_path / "run" / f"{OLDER:09d}" / name,
        tmp_path / "run" / f"{NEWER:09d}" / name,
    )
    assert checkpoints.restore().epoch == OLDER
    shutil.copy(
        tmp_path / "run" / f"{OLDER:09d}" / name,
        tmp_path / "run" / f"{OLDER:09d}" / "rows-000000000011.npy",
    )
    with pytest.raises(UserError, match="is not of this checkpoint"):
        checkpoints.restore()
