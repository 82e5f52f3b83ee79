"""Embedding to files: what cannot be read is named, what was interrupted goes on."""

import csv
import importlib
import io
import json
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from npid_tf.errors import UserError
from npid_tf.runs import build, data, embed
from npid_tf.runs.embed import EmbedFlags, embed_images, embed_to_file
from npid_tf.vector_files import read_vectors
from tests.support.given import given

program = importlib.import_module("npid_tf.embed")  # Not the function of that name.


@pytest.fixture(scope="module")
def encoder(trained_workdir):
    return build.load_trained_encoder(trained_workdir)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """30 images in two classes."""
    folder = tmp_path_factory.mktemp("embedded") / "photos"
    for number in range(30):
        pixels = np.random.default_rng(number).integers(0, 256, [8, 8, 3], np.uint8)
        name = f"{'dog' if number % 3 else 'cat'}/{number:02d}.png"
        tf.io.write_file(str(folder / name), tf.io.encode_png(pixels))
    return str(folder)


@pytest.fixture(scope="module")
def whole(trained_workdir, photos):
    """`Vectors` of all of them."""
    vectors, left_out = embed_images(trained_workdir, EmbedFlags(data=photos))
    assert not left_out
    return vectors


@pytest.fixture(autouse=True)
def eight_at_a_time(monkeypatch, encoder):
    # Loaded once: it takes longer than all else here.
    monkeypatch.setattr(build, "load_trained_encoder", lambda config: encoder)
    monkeypatch.setattr("npid_tf.encoders.embed.BATCH_SIZE", 8)
    monkeypatch.setattr("npid_tf.vector_files.growing.PART_ROWS", 8)


def assert_same(vectors, other):
    np.testing.assert_allclose(vectors.embeddings, other.embeddings, atol=1e-5)
    assert vectors.ids == other.ids
    assert vectors.label_texts() == other.label_texts()
    assert vectors.about["encoder_hash"] == other.about["encoder_hash"]


def test_the_file_has_embeddings_paths_and_labels(
    trained_workdir, photos, whole, tmp_path
):
    flags = EmbedFlags(data=photos, out=str(tmp_path / "new/all.npy"))
    assert embed_to_file(trained_workdir, flags) == (30, 16, {})
    vectors = read_vectors(flags.out)
    assert_same(vectors, whole)
    assert set(vectors.label_texts()) == {"cat", "dog"}
    assert vectors.ids[0] == os.path.join(photos, "cat/00.png")
    assert sorted(os.listdir(tmp_path / "new")) == ["all.csv", "all.npy"]


class Killed(BaseException):
    pass


@pytest.fixture
def killed_after(monkeypatch):
    """Ends a run after so many batches, as it comes to the next."""
    original, seen = embed.embed_batches, []

    def batches(*arguments):
        seen.append(0)
        for batch in original(*arguments):
            if len(seen) == 1 and seen[0] == killed_after.count:
                raise Killed
            seen[-1] += 1
            yield batch

    def killed_after(count):
        killed_after.count = count
        return seen

    monkeypatch.setattr("npid_tf.runs.embed.embed_batches", batches)
    return killed_after


@pytest.fixture
def flags(photos, tmp_path):
    return EmbedFlags(data=photos, out=str(tmp_path / "all.npz"))


def test_a_killed_run_goes_on_where_it_stopped(
    trained_workdir, flags, whole, killed_after, capsys
):
    seen = killed_after(2)
    with pytest.raises(Killed):
        embed_to_file(trained_workdir, flags)
    assert os.listdir(os.path.dirname(flags.out)) == ["all.npz.parts"]
    assert embed_to_file(trained_workdir, flags).count == 30
    assert seen == [2, 2]  # 16 images, and the other 14.
    assert "Going on after 16 of 30 images." in capsys.readouterr().out
    assert_same(read_vectors(flags.out), whole)
    assert os.listdir(os.path.dirname(flags.out)) == ["all.npz"]


def test_parts_of_other_images_or_damaged_ones_are_not_used(
    trained_workdir, flags, whole, killed_after, capsys
):
    killed_after(3)
    part = EmbedFlags(data=flags.data, data_split="train[:29]", out=flags.out)
    with pytest.raises(Killed):
        embed_to_file(trained_workdir, part)
    assert embed_to_file(trained_workdir, flags).count == 30
    shown = capsys.readouterr().out
    assert "all.npz.parts, which another run left, is of other data, ids, rows" in shown
    assert "Going on" not in shown
    assert_same(read_vectors(flags.out), whole)


@pytest.mark.parametrize(
    ("name", "place", "told"),
    [("rows.npy", -1000, "from row 8 on"), ("parts.json", 0, "parts.json is damaged")],
)
def test_damaged_parts_are_not_used(
    trained_workdir, flags, whole, killed_after, capsys, name, place, told
):
    killed_after(3)
    with pytest.raises(Killed):
        embed_to_file(trained_workdir, flags)
    path = pathlib.Path(f"{flags.out}.parts") / name
    content = bytearray(path.read_bytes())
    content[place] ^= 255
    path.write_bytes(content)
    embed_to_file(trained_workdir, flags)
    shown = capsys.readouterr().out
    assert told in shown and "computed again" in shown
    assert ("Going on after 8 of 30" in shown) == (name == "rows.npy")
    assert_same(read_vectors(flags.out), whole)


@pytest.fixture
def spoiled(monkeypatch, photos, tmp_path):
    """Two files that went bad after they were listed: one is cut, one is gone."""
    load, own = data.load, tmp_path / "photos"
    for path in pathlib.Path(photos).rglob("*.png"):
        copy = own / path.relative_to(photos)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    (own / "notes.txt").write_text("no image")
    broken = own / "dog/broken.png"  # Before it was listed.
    broken.write_bytes(b"no image")
    bad = [own / "cat/00.png", own / "dog/29.png"]

    def load_and_spoil(*arguments):
        source = load(*arguments)
        bad[0].write_bytes(bad[0].read_bytes()[:30])
        bad[1].unlink(missing_ok=True)
        return source

    monkeypatch.setattr(data, "load", load_and_spoil)
    return str(own), [str(path) for path in (broken, *bad)]


def test_images_that_cannot_be_read_are_left_out_and_named(
    trained_workdir, whole, spoiled, tmp_path, capsys
):
    photos, bad = spoiled
    out = str(tmp_path / "all.parquet")
    flags = EmbedFlags(data=photos, out=out)
    program.main(given(flags, workdir=trained_workdir.workdir))
    shown = capsys.readouterr().out
    assert f"Wrote 28 embeddings of 16 numbers to {out}" in shown
    assert f"Cannot be read: 3 images, see {out}.left_out.csv:" in shown
    with open(f"{out}.left_out.csv", newline="") as file:
        listed = list(csv.DictReader(file))
    assert [line["path"] for line in listed] == [f"{photos}/notes.txt", *bad]
    assert "No such file" in shown
    assert all(line["detail"] for line in listed[1:])
    vectors = read_vectors(out)
    np.testing.assert_allclose(
        vectors.embeddings, np.delete(whole.embeddings, [0, 29], 0), atol=1e-5
    )
    assert vectors.label_texts() == whole.label_texts()[1:-1]
    assert not set(bad) & set(vectors.ids)


def test_an_image_that_cannot_be_read_is_left_out_in_memory(trained_workdir, spoiled):
    photos, bad = spoiled
    vectors, left_out = embed_images(trained_workdir, EmbedFlags(data=photos))
    assert list(left_out) == bad and len(vectors.ids) == len(vectors.labels) == 28
    assert np.isfinite(vectors.embeddings).all()


def test_no_image_at_all_is_refused(trained_workdir, spoiled, tmp_path):
    photos, _ = spoiled
    flags = EmbedFlags(data=photos, data_split="train[:1]", out=str(tmp_path / "a.npz"))
    with pytest.raises(
        UserError, match=r"None of the images can be read. .*cat/00.png"
    ):
        embed_to_file(trained_workdir, flags)


def test_a_list_of_paths_comes_on_standard_input(
    trained_workdir, whole, monkeypatch, tmp_path
):
    names = [whole.ids[row] for row in (20, 3, 11)]
    listed = io.TextIOWrapper(io.BytesIO("\n".join(names).encode()))
    monkeypatch.setattr("sys.stdin", listed)
    flags = EmbedFlags(data="-", out=str(tmp_path / "some.jsonl"))
    assert embed_to_file(trained_workdir, flags).count == 3
    vectors = read_vectors(flags.out)
    rows = [whole.ids.index(name) for name in vectors.ids]
    assert sorted(rows) == [3, 11, 20]
    np.testing.assert_allclose(vectors.embeddings, whole.embeddings[rows], atol=1e-5)


def test_a_file_to_write_is_required(trained_workdir):
    with pytest.raises(UserError, match=r"Pass --out=FILE.npz"):
        program.main(given(workdir=trained_workdir.workdir))


def test_an_npz_has_the_arrays_of_before_and_no_list_of_an_earlier_run(
    trained_workdir, flags, whole
):
    pathlib.Path(f"{flags.out}.left_out.csv").write_text("path,reason\n")
    embed_to_file(trained_workdir, flags)
    assert os.listdir(os.path.dirname(flags.out)) == ["all.npz"]
    with np.load(flags.out) as file:
        assert file["labels"].dtype == np.int64
        assert file["class_names"].tolist() == ["cat", "dog"]
        about = json.loads(str(file["about"]))
    assert about.items() >= whole.about.items()
