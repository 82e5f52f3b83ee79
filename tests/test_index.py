"""Adding and removing from the command line, and what is then found."""

import dataclasses
import json
import shutil
import sys

import numpy as np
import pytest
import tensorflow as tf

import npid_tf
from npid_tf.command_line import progress
from npid_tf.command_line.program import run
from npid_tf.index import GROUPS, main
from npid_tf.runs.index.commands import IndexFlags
from npid_tf.runs.search import SearchFlags, search, search_for
from npid_tf.search.live.index import LiveIndex
from npid_tf.vector_files import FORMATS, Vectors
from tests.support.given import given
from tests.support.vectors import unit_rows


@pytest.fixture
def config(exported, tmp_path):
    """Of a copy of the export of 256 digits."""
    directory = str(tmp_path / "export")
    shutil.copytree(exported.export_dir, directory)
    return IndexFlags(export_dir=directory)


@pytest.fixture
def photos(tmp_path):
    """A folder of 70 images, one of them in a folder of its own."""
    folder = tmp_path / "photos"
    for number in range(70):
        name = f"{number:02d}.png" if number else "inside/00.PNG"
        pixels = np.random.default_rng(number).integers(0, 256, [8, 8, 3], np.uint8)
        tf.io.write_file(str(folder / name), tf.io.encode_png(pixels))
    (folder / "notes.txt").write_text("no image")
    return folder


def test_what_is_added_is_found_and_what_is_removed_is_not(
    config, photos, capsys, monkeypatch
):
    monkeypatch.setattr(progress, "_shown", True)
    monkeypatch.setattr(progress, "BETWEEN_LINES", 0)
    main(given(config, arguments=["add", str(photos)]))
    shown = capsys.readouterr()
    assert "Adding: 100%, 70 of 70 items, 00:00 left" in shown.err
    assert "Added 70 images; the index holds 326." in shown.out
    names = [str(photos / name) for name in ("inside/00.PNG", "01.png", "69.png")]
    results, _ = search(config.export_dir, names, 3)
    for name, (first, *_) in zip(names, results, strict=True):
        assert first["id"] == name
        np.testing.assert_allclose(first["similarity"], 1, atol=1e-5)

    main(given(config, arguments=["remove", names[0], "7"]))
    assert "Removed 2; the index holds 324." in capsys.readouterr().out
    ((first, *_),), _ = search(config.export_dir, [names[0]], 3)
    assert first["id"] not in (names[0], "7")

    main(given(config, arguments=["compact"]))
    assert json.loads(capsys.readouterr().out.split("items.\n")[1])["generation"] == 1
    main(given(config, arguments=["stats"]))
    stats = json.loads(capsys.readouterr().out)
    assert (stats["items"], stats["added_since"]) == (324, 0)
    ((first, *_),), _ = search(config.export_dir, [names[1]], 3)
    assert first["id"] == names[1]


def test_bad_files_are_named_and_the_others_added(config, photos):
    (photos / "bad.png").write_text("no image")
    absent = str(photos / "absent.png")
    with pytest.raises(
        ValueError,
        match=rf"(?s)2 of 4 files were not added:\n{photos / 'bad.png'} does not "
        rf"decode.*No image file {absent}: No such",
    ):
        names = [f"{photos}/{name}.png" for name in ("01", "bad", "absent", "02", "01")]
        main(given(config, arguments=["add", *names]))
    index = LiveIndex(f"{config.export_dir}/index")
    assert f"{photos}/01.png" in index and f"{photos}/02.png" in index
    assert len(index) == 258
    index.close()


def test_unknown_ids_are_named_and_the_others_removed(config):
    with pytest.raises(ValueError, match=r"Not in the index: 256, x\."):
        main(given(config, arguments=["remove", "7", "256", "8", "x"]))
    index = LiveIndex(f"{config.export_dir}/index")
    assert len(index) == 254
    index.close()


def test_while_a_server_has_it_open_it_says_so_but_tells_stats(config, photos, capsys):
    index = LiveIndex(f"{config.export_dir}/index")
    with pytest.raises(
        ValueError, match=r"open for writing.*Make the change through it"
    ):
        main(given(config, arguments=["add", str(photos)]))
    capsys.readouterr()  # What was left out of the folder.
    main(given(config, arguments=["stats"]))
    assert json.loads(capsys.readouterr().out)["items"] == 256
    index.close()


def test_flags_may_come_after_the_command(config, monkeypatch, capsys):
    arguments = ["index", "stats", f"--export_dir={config.export_dir}"]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as ended:
        run(main, GROUPS)
    assert not ended.value.code
    assert '"items": 256' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], r"Unknown command None. Known: add, remove, sync, stats, compact"),
        (["drop"], r"Unknown command 'drop'. Known: add"),
        (["add"], r"`add` needs files"),
        (["stats", "x.png"], r"`stats` takes no files. Received: x.png"),
        (["compact", "x.png"], r"`compact` takes no files"),
        (["build", "x.npz"], r"`build` takes no files. Received: x.npz"),
        (["build"], r"Pass --embeddings=FILE"),
    ],
)
def test_what_cannot_be_meant_is_refused(config, arguments, message):
    with pytest.raises(ValueError, match=message):
        main(given(config, arguments=arguments))


@pytest.mark.parametrize(
    "changes", [{"embeddings": "x.npz"}, {"recall": 0.9}, {"index_dtype": "int8"}]
)
def test_flags_of_build_are_refused_elsewhere(config, changes):
    with pytest.raises(ValueError, match="is of `npid index build` alone"):
        flags = dataclasses.replace(config, **changes)
        main(given(flags, arguments=["stats"]))


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_an_index_is_built_of_embeddings_of_others(tmp_path, suffix, capsys):
    rows, ids = 3 * unit_rows(40, 8), [f"{number}.jpg" for number in range(40)]
    path = str(tmp_path / f"theirs{suffix}")
    vectors = Vectors(rows, ids, np.arange(40) % 2, ("cat", "dog"))
    FORMATS[suffix].write(path, vectors)
    flags = IndexFlags(
        export_dir=str(tmp_path / "built"),
        embeddings=path,
        recall=0.9,
        index_dtype="bfloat16",
    )
    main(given(flags, arguments=["build"]))
    shown = capsys.readouterr().out
    assert "Normalized: lengths were 3 to 3." in shown
    assert "Built an index of 40 embeddings of 8 numbers" in shown
    index = npid_tf.load_index(flags.export_dir)
    found = index.search(rows[5:7] / 3, k=3)
    nearest = np.argsort(-(rows[5:7] @ rows.T), axis=1)[:, :3]
    assert found.ids == [[ids[row] for row in line] for line in nearest]
    assert index.labels(["5.jpg", "6.jpg"]) == ["dog", "cat"]
    names, results, _ = search_for(SearchFlags(flags.export_dir, id=("5.jpg",), k=3))
    assert names == ["5.jpg"]
    assert [each["id"] for each in results[0]] == found.ids[0]
    with pytest.raises(ValueError, match=r"No encoder in .*built"):
        search(flags.export_dir, ["5.jpg"], 3)
    with pytest.raises(ValueError, match=r"holds index/ already"):
        main(given(flags, arguments=["build"]))


def test_an_index_of_an_export_is_not_replaced_by_other_embeddings(config, tmp_path):
    shutil.rmtree(f"{config.export_dir}/index")
    flags = dataclasses.replace(config, embeddings="x.npz")
    with pytest.raises(ValueError, match=r"holds neighbors/ already.* is new"):
        main(given(flags, arguments=["build"]))


def test_without_an_export_it_says_which_flag_to_pass():
    with pytest.raises(ValueError, match="Pass --export_dir=DIR"):
        main(given(arguments=["stats"]))
