"""An export that is killed at any of its file operations leaves the former in service.

A child of this process writes an export with the real code and is killed at its k-th
file operation, for all k, while a reader searches without a pause. The models are files
of a few bytes: what TensorFlow writes lies in .partial, where nobody looks.
"""

import os
import shutil
import signal
import subprocess
import sys
import traceback

import numpy as np
import pytest
import tensorflow as tf

from npid_tf.files import folder_swap
from npid_tf.runs import data
from npid_tf.runs.search import search
from npid_tf.saved_models.export_folder import new_export
from npid_tf.saved_models.exported import describe_encoders
from npid_tf.saved_models.saved_model import check_model, describe_model
from npid_tf.search.index_files import write_ids
from npid_tf.search.live.index import LiveIndex
from npid_tf.search.live.reader import read_contents
from npid_tf.server.index_source import LocalIndexSource
from npid_tf.server.models import Models
from tests.support.vectors import unit_rows

DIM, ITEMS = 8, 12
EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.scandir")


def write_export(export_dir, number, encoder):
    """Export `number`, which its labels tell, of an encoder."""
    with new_export(str(export_dir)) as new:
        description = {"version": new.version, "encoder_hash": encoder, "data": None}
        for model in ("encoder", "neighbors"):
            folder = os.path.join(new.partial, model)
            os.makedirs(os.path.join(folder, "variables"))
            for name in ("saved_model.pb", "variables/variables.index"):
                with open(os.path.join(folder, name), "wb") as file:
                    file.write(f"{model} {number}".encode())
            describe_model(folder, description)
        index = os.path.join(new.partial, "index")
        os.makedirs(index)
        np.save(os.path.join(index, "dataset.npy"), unit_rows(ITEMS, DIM, seed=number))
        manifest = {
            **description,
            "n": ITEMS,
            "dim": DIM,
            # Another each time, so that what was compacted is not as it was asked.
            "settings": {"kind": "exact", "dtype": "float32", "reason": "small"},
            "recall": {"k": number + 1, "target": 0.9, "value": 1.0},
        }
        labels = [f"export {number}"] * ITEMS
        write_ids(index, list(range(ITEMS)), labels, manifest)
        new.publish()


def check(export_dir, contents=None):
    """The number of the export that is served: all that belongs to it, and whole."""
    contents = contents or read_contents(str(export_dir / "index"))
    (label,) = set(contents.labels(["0", "1", "2"]))
    number = int(label.split()[1])
    ids, similarities, _ = contents.search(unit_rows(ITEMS, DIM, seed=number)[:3], 1)
    assert ids == [["0"], ["1"], ["2"]]
    np.testing.assert_allclose(similarities, 1, atol=1e-5)
    return number, contents.segment.manifest["encoder_hash"]


def check_models(export_dir):
    """What a server that starts now serves: an encoder that fits the index, whole."""
    fits = LocalIndexSource(str(export_dir), None).fits()
    found = dict(Models(str(export_dir)).find_new(fits))
    for name in ("encoder", "neighbors"):
        folder = export_dir / name / str(found[name])
        assert check_model(str(folder))["encoder_hash"] == fits[0]
    assert fits[0] in [
        told["encoder_hash"] for _, told in describe_encoders(export_dir)
    ]


def fork(run):
    """Starts a child of this process that runs a function; returns its id."""
    child = os.fork()
    if child:
        return child
    try:
        run()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def killed_at(k, export_dir, number, encoder, exchange):
    """Writes an export in a child and kills it; False where it had ended before."""
    count = 0

    def step(*_):
        nonlocal count
        count += 1
        if count == k:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(event, arguments):
        inside = arguments and str(export_dir) in str(arguments[0])
        if event in EVENTS and inside:
            step()

    def run():
        sys.addaudithook(audit)
        really = folder_swap._exchange

        def counted(one, other):
            step()
            done = exchange and really(one, other)
            step()
            return done

        folder_swap._exchange = counted
        write_export(export_dir, number, encoder)

    _, status = os.waitpid(fork(run), 0)
    assert status in (0, signal.SIGKILL)
    return status == signal.SIGKILL


@pytest.fixture
def export_dir(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "scann", None)  # Its threads end in a child.
    return tmp_path / "export"


def watch(export_dir, end, live):
    """Searches until there is something to read at `end`: the reader, in a child."""
    index = LiveIndex(str(export_dir / "index"), read_only=True) if live else None
    searches = 0
    os.set_blocking(end, False)
    while True:
        check(export_dir)
        if index is not None:
            check(export_dir, index._reader.follow().contents)
            assert "added" in index and "7" not in index
        searches += 1
        try:
            os.read(end, 1)
        except BlockingIOError:
            continue
        print(f"The reader searched {searches} times.", flush=True)
        assert searches > 10
        return


def kill_everywhere(export_dir, stride, exchange, same_encoder):
    encoders = ["encoder a", "encoder a" if same_encoder else "encoder b"]
    write_export(export_dir, 0, encoders[0])
    if same_encoder:
        index = LiveIndex(str(export_dir / "index"))
        index.upsert(["added"], unit_rows(ITEMS, DIM, seed=99)[:1], ["new"])
        index.delete(["7"])
        index.compact()  # What carries over is in a compacted index, and in the log.
        index.upsert(["added too"], unit_rows(ITEMS, DIM, seed=99)[1:2], ["new"])
        index.close()
    here, there = os.pipe()
    reader = fork(lambda: watch(export_dir, here, same_encoder))
    number, k, kills, taken = 0, 1, 0, 0
    while killed_at(k, export_dir, number + 1, encoders[(number + 1) % 2], exchange):
        served, _ = check(export_dir)
        assert served in (number, number + 1)
        check_models(export_dir)
        if same_encoder:
            if kills % 4 == 3:  # A server comes and goes, and writes down what carries.
                LiveIndex(str(export_dir / "index")).close()
            contents = read_contents(str(export_dir / "index"))
            assert {"added", "added too"} <= set(contents.ids())
            assert "7" not in contents and len(contents) == ITEMS + 1
        taken += served - number
        number, k, kills = served, k + stride, kills + 1
    os.write(there, b".")
    _, status = os.waitpid(reader, 0)
    os.close(here), os.close(there)
    assert status == 0
    assert check(export_dir)[0] == number + 1
    assert sorted(os.listdir(export_dir)) == ["encoder", "index"] + (
        ["index.live"] if same_encoder else []
    ) + ["neighbors"]
    versions = [sorted(os.listdir(export_dir / m)) for m in ("encoder", "neighbors")]
    assert versions[0] == versions[1] and len(versions[0]) == taken + 2
    print(f"Killed at {kills} operations; {taken} of the exports were complete.")
    return kills


@pytest.mark.parametrize("exchange", [True, False])
def test_an_export_killed_now_and_then_leaves_the_former(export_dir, exchange):
    assert kill_everywhere(export_dir, 7, exchange, same_encoder=exchange) > 5


@pytest.mark.slow
@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("same_encoder", [True, False])
def test_an_export_killed_anywhere_leaves_the_former(
    export_dir, exchange, same_encoder
):
    assert kill_everywhere(export_dir, 1, exchange, same_encoder) >= 64


def test_a_second_export_at_the_same_time_is_refused(export_dir):
    with (
        new_export(str(export_dir)),
        pytest.raises(ValueError, match=rf"Process {os.getpid()} is exporting to"),
    ):
        write_export(export_dir, 1, "a")
    assert not os.listdir(export_dir)
    write_export(export_dir, 1, "a")


def test_a_number_is_not_given_twice(export_dir):
    write_export(export_dir, 0, "a")
    write_export(export_dir, 1, "a")
    shutil.rmtree(export_dir / "encoder" / "2")
    shutil.rmtree(export_dir / "neighbors" / "2")
    write_export(export_dir, 2, "a")
    assert sorted(os.listdir(export_dir / "encoder")) == ["1", "3"]


PROGRAM = """if True:
    import os, runpy, signal, sys
    directory, k, *flags = sys.argv[1:]
    count = 0
    def audit(event, arguments):
        global count
        if event in ("os.rename", "os.mkdir") and directory in str(arguments[0]):
            count += 1
            if count == int(k):
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(audit)
    sys.argv = ["export", *flags]
    runpy.run_module("npid_tf.export", run_name="__main__")
"""


@pytest.mark.slow
def test_the_program_killed_between_its_renames_leaves_the_former(
    trained_workdir, exported, tmp_path
):
    directory = tmp_path / "export"
    shutil.copytree(exported.export_dir, directory)
    (folder := tmp_path / "query").mkdir()
    image = data.build_source(trained_workdir).read(7)
    query = str(folder / "7.png")
    tf.io.write_file(query, tf.io.encode_png(image))
    command = [sys.executable, "-c", PROGRAM, str(directory)]
    flags = [
        f"--flagfile={trained_workdir.workdir}/flags.cfg",
        f"--export_dir={directory}",
    ]
    k, status = 4, -signal.SIGKILL
    while status:
        status = subprocess.run([*command, str(k), *flags], check=False).returncode
        assert status in (0, -signal.SIGKILL)
        ((first, *_),), _ = search(str(directory), [query], 3)
        assert first["id"] == "7"
        check_models(directory)
        k += 4
    print(f"Killed {k // 4 - 2} times.")
    assert sorted(os.listdir(directory)) == ["encoder", "index", "neighbors"]
