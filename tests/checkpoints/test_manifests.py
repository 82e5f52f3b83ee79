"""Each checkpoint has the manifest of its own images, whatever is killed when."""

import contextlib
import os

import pytest

from npid_tf.checkpoints.checkpoints import Checkpoints
from npid_tf.checkpoints.files import list_checkpoints, read_state
from npid_tf.checkpoints.manifests import saved_manifest
from npid_tf.data.sources.manifest import fingerprint_of
from tests.support.saved_models import N, build


class Killed(BaseException):
    """No error that anything handles."""


@pytest.fixture(scope="module")
def model():
    return build("memory_bank")


def images(step):
    """The images of a step: those of steps 1 and 2 are the same."""
    paths = [f"{min(max(step, 2), 4)}/{number}" for number in range(N)]
    sizes = dict.fromkeys(paths, 1)
    contents = dict.fromkeys(paths, "1")
    return {"paths": paths, "sizes": sizes, "contents": contents, "corrupt": []}


def save(model, folder, step):
    model.step.assign(step)
    manifest = images(step)
    fingerprint = {"name": "folder", **fingerprint_of(manifest)}
    Checkpoints(folder, model, fingerprint, manifest=manifest).save(step, 0)


def check(folder):
    """That all checkpoints have their manifest; the step of the newest."""
    for path in list_checkpoints(folder):
        state = read_state(path)
        manifest = saved_manifest(folder, state["fingerprint"])
        assert manifest["paths"] == images(state["epoch"])["paths"]
    return state["epoch"]


def names(folder):
    return os.listdir(os.path.join(os.path.dirname(folder), "manifests"))


def test_one_is_written_for_all_checkpoints_of_the_same_images(model, tmp_path):
    folder = str(tmp_path / "checkpoints")
    save(model, folder, 1)
    (name,) = names(folder)
    written = os.stat(tmp_path / "manifests" / name).st_mtime_ns
    save(model, folder, 2)
    assert os.stat(tmp_path / "manifests" / name).st_mtime_ns == written
    save(model, folder, 3)
    assert len(names(folder)) == 2
    save(model, folder, 4)
    assert len(names(folder)) == 2 and name not in names(folder)
    assert check(folder) == 4


def test_one_of_before_stays_until_no_checkpoint_needs_it(model, tmp_path):
    folder, of_before = str(tmp_path / "checkpoints"), tmp_path / "manifest.json"
    save(model, folder, 2)
    (name,) = names(folder)
    os.rename(tmp_path / "manifests" / name, of_before)
    save(model, folder, 3)
    assert of_before.exists()
    save(model, folder, 4)
    assert not of_before.exists()


def test_killed_at_any_operation_checkpoint_and_manifest_fit(
    model, tmp_path, monkeypatch
):
    """Of those that change names: nothing else makes a file count."""
    newest, number, is_killed = set(), 0, True
    while is_killed:
        folder = str(tmp_path / str(number) / "checkpoints")
        for step in (1, 2, 3):
            save(model, folder, step)
        count, is_killed = 0, False

        def counted(function, kill_at=number):
            def call(*arguments, **named):
                nonlocal count, is_killed
                is_killed = is_killed or count == kill_at
                if is_killed:
                    raise Killed
                count += 1
                return function(*arguments, **named)

            return call

        with monkeypatch.context() as patch:
            for name in ("rename", "replace", "remove", "unlink", "rmdir", "mkdir"):
                patch.setattr(os, name, counted(getattr(os, name)))
            with contextlib.suppress(Killed):
                save(model, folder, 4)
        newest.add(check(folder))
        save(model, folder, 5)  # What is left over is in nobody's way.
        assert check(folder) == 5
        number += 1
    assert newest == {3, 4} and number > 5
