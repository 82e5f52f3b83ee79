"""Searching an export from files, and the gallery."""

import base64
import contextlib
import csv
import dataclasses
import io
import json
import os
import shutil
import sys

import numpy as np
import pytest
import tensorflow as tf

from npid_tf.export import main as export_main
from npid_tf.files.formats import stamp
from npid_tf.runs import data
from npid_tf.runs.export import ExportFlags, export
from npid_tf.runs.search import SearchFlags, search
from npid_tf.runs.search_output import table
from npid_tf.runs.train import train
from npid_tf.search.__main__ import main
from npid_tf.search.live.index import LiveIndex
from npid_tf.vector_files import FORMATS as VECTOR_FILES
from npid_tf.vector_files import Vectors
from tests.support.given import given
from tests.support.vectors import unit_rows


@pytest.fixture
def query(trained_workdir, tmp_path):
    """A PNG of training image 7."""
    path = str(tmp_path / "query <7>.png")
    tf.io.write_file(path, tf.io.encode_png(data.build_source(trained_workdir).read(7)))
    return path


@pytest.fixture(autouse=True)
def scann():
    return pytest.importorskip("scann")


def test_a_training_image_finds_itself_first(trained_workdir, exported, query):
    ((first, *others),), how = search(exported.export_dir, [query], 5)
    label = str(data.build_source(trained_workdir).labels[7])
    assert (first["id"], first["label"]) == ("7", label)
    assert how == "Searched with ScaNN, every item compared."
    np.testing.assert_allclose(first["similarity"], 1, atol=1e-5)
    similarities = [found["similarity"] for found in (first, *others)]
    assert similarities == sorted(similarities, reverse=True)
    assert len({found["id"] for found in (first, *others)}) == 5


def test_it_prints_id_label_and_similarity_of_flag_and_bare_files(
    trained_workdir, exported, query, tmp_path, capsys
):
    other = str(tmp_path / "other.png")
    shutil.copy(query, other)
    flags = SearchFlags(export_dir=exported.export_dir, image=(query,), k=5)
    main(given(flags, arguments=[other]))
    lines = capsys.readouterr().out.splitlines()
    label = str(data.build_source(trained_workdir).labels[7])
    for start, path in ((0, query), (7, other)):
        assert lines[start] == path
        assert lines[start + 1].split() == ["id", "label", "similarity"]
        assert lines[start + 2].split() == ["7", label, "1.0000"]
    assert lines[2 * (2 + 5) :] == ["Searched with ScaNN, every item compared."]


def test_it_searches_for_ids_and_for_embeddings_in_a_file(
    exported, query, tmp_path, capsys
):
    with contextlib.closing(
        LiveIndex(f"{exported.export_dir}/index", read_only=True)
    ) as index:
        rows, about = index.embeddings(["7", "9"]), {"encoder_hash": index.encoder_hash}
    path = str(tmp_path / "some.npz")
    vectors = Vectors(
        3 * rows, ["seven", "nine"], about={**stamp("embeddings"), **about}
    )
    VECTOR_FILES[".npz"].write(path, vectors)
    gallery = tmp_path / "gallery.html"
    flags = SearchFlags(
        export_dir=exported.export_dir, id=("9",), embeddings=path, k=5, format="json",
        gallery=str(gallery),
    )  # fmt: skip
    main(given(flags, arguments=[query]))
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["query"] for each in found] == [query, "9", "seven", "nine"]
    first = [each["neighbors"][0]["id"] for each in found]
    assert first == ["7", "9", "7", "9"]
    np.testing.assert_allclose(
        [each["neighbors"][0]["similarity"] for each in found], 1, atol=1e-5
    )
    # Of an embedding's id there is no picture.
    assert len(gallery.read_text().split("data:image/png;base64,")) >= 2 + 4 * 5
    for changes, message in (
        ({"id": ("x", "7", "y")}, r"Not in the index: x, y\."),
        ({"embeddings": save_other(tmp_path, dim=3)}, r"16 dimensions.* of 3\."),
        ({"embeddings": save_other(tmp_path, encoder="x")}, r"by another encoder"),
    ):
        with pytest.raises(ValueError, match=message):
            main(given(SearchFlags(export_dir=exported.export_dir, k=5, **changes)))


def save_other(tmp_path, dim=16, encoder="unknown"):
    path = str(tmp_path / f"other-{dim}.npz")
    about = {**stamp("embeddings"), "encoder_hash": encoder}
    VECTOR_FILES[".npz"].write(
        path, Vectors(unit_rows(2, dim), ["a", "b"], about=about)
    )
    return path


def test_the_gallery_shows_the_query_and_its_neighbors(exported, query, tmp_path):
    gallery = tmp_path / "gallery.html"
    flags = SearchFlags(export_dir=exported.export_dir, k=5, gallery=str(gallery))
    main(given(flags, arguments=[query]))
    html = gallery.read_text(encoding="utf-8")
    images = html.split("data:image/png;base64,")[1:]
    assert len(images) == 1 + 5
    # The query's own pixels, then those of the image that it is.
    assert images[0].split('"')[0] == images[1].split('"')[0]
    assert "query &lt;7&gt;.png" in html
    assert "query <7>.png" not in html


@pytest.fixture
def exported_folder(trained_workdir, tmp_path):
    """A run on a folder of classes, 60 of the digits as PNG files, and its export."""
    digits = data.build_source(trained_workdir)
    for row in range(60):
        name = f"digit {digits.labels[row]}/{row:03d}.png"
        file = tf.io.encode_png(digits.read(row))
        tf.io.write_file(str(tmp_path / "images" / name), file)
    config = dataclasses.replace(
        trained_workdir,
        workdir=str(tmp_path / "run"),
        dataset=f"folder:{tmp_path / 'images'}",
        split="train",
        batch_size=30,
    )
    train(config)
    flags = ExportFlags(export_dir=str(tmp_path / "export"), k=(5, 10))
    export(config, flags)
    return config, flags


def test_files_of_a_folder_are_found_by_path_and_shown(
    exported_folder, tmp_path, capsys
):
    config, flags = exported_folder
    paths = data.build_source(config).paths
    query = paths[12]
    ((first, *_),), _ = search(flags.export_dir, [query], 5)
    assert first["id"] == query
    assert first["label"] == os.path.basename(os.path.dirname(query))
    # Other files may have come and gone, and be of any size.
    large = os.path.join(os.path.dirname(query), "large.jpg")
    noise = np.random.default_rng(0).integers(0, 256, [1200, 1600, 3], np.uint8)
    tf.io.write_file(large, tf.io.encode_jpeg(noise))
    found = {item["id"] for item in search(flags.export_dir, [query], 5)[0][0]}
    os.remove(next(path for path in paths if path not in found))
    gallery = str(tmp_path / "gallery.html")
    flags = SearchFlags(export_dir=flags.export_dir, k=5, gallery=gallery)
    main(given(flags, arguments=[query, large]))
    with open(gallery, encoding="utf-8") as file:
        html = file.read()
    images = html.split("data:image/png;base64,")[1:]
    assert len(images) >= 1 + 5
    assert images[0].split('"')[0] == images[1].split('"')[0]
    assert html.count("data:image/jpeg") == 1
    assert len(html) < 200_000 < os.path.getsize(large)
    assert gallery in capsys.readouterr().out


def test_the_index_of_another_encoder_is_refused(exported, query, tmp_path):
    directory = tmp_path / "export"
    shutil.copytree(exported.export_dir, directory)
    path = directory / "index" / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["encoder_hash"] = "of another"
    path.write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(ValueError, match="made by another encoder"):
        search(str(directory), [query], 5)


def test_an_older_encoder_serves_the_index_that_it_made(exported, query, tmp_path):
    # What an export leaves that is stopped between its renames.
    directory = tmp_path / "export"
    shutil.copytree(exported.export_dir, directory)
    shutil.copytree(directory / "encoder" / "1", directory / "encoder" / "2")
    path = directory / "encoder" / "2" / "assets.extra" / "npid_tf.json"
    path.write_text(json.dumps({"encoder_hash": "newer"}), encoding="utf-8")
    ((first, *_),), _ = search(str(directory), [query], 5)
    assert first["id"] == "7"


def test_milvus_answers_as_the_index_does(
    milvus_lite, trained_workdir, exported, query, tmp_path, capsys
):
    directory, uri = str(tmp_path / "export"), str(tmp_path / "items.db")
    milvus = {"export_dir": directory, "engine": "milvus", "uri": uri}
    flags = ExportFlags(k=(5, 10), **milvus)
    export_main(given(flags, workdir=trained_workdir.workdir))
    assert f"256 images in Milvus at {uri} (FLAT, recall@5" in capsys.readouterr().out
    assert sorted(os.listdir(directory)) == ["encoder", "neighbors"]
    (found,), how = search(directory, [query], 5, "milvus", uri)
    (expected,), _ = search(exported.export_dir, [query], 5)
    assert how == "Searched with Milvus, every item compared."
    for item, same in zip(found, expected, strict=True):
        np.testing.assert_allclose(item["similarity"], same["similarity"], atol=1e-5)
    assert (found[0]["id"], found[0]["label"]) == ("7", expected[0]["label"])
    gallery = tmp_path / "gallery.html"
    flags_of_search = SearchFlags(k=5, gallery=str(gallery), **milvus)
    main(given(flags_of_search, arguments=[query]))
    assert "Searched with Milvus" in capsys.readouterr().out
    assert gallery.read_text(encoding="utf-8").count("data:image/png") == 1 + 5
    with pytest.raises(ValueError, match="--scann_saved_model takes the settings of"):
        export(trained_workdir, dataclasses.replace(flags, scann_saved_model=True))


def test_a_folder_without_an_export_is_refused(query, tmp_path):
    with pytest.raises(ValueError, match=r"No index in .*npid_tf.export"):
        search(str(tmp_path), [query], 5)


def test_a_missing_file_is_named(exported):
    with pytest.raises(ValueError, match=r"No image file nowhere.png"):
        search(exported.export_dir, ["nowhere.png"], 5)


def test_a_file_that_does_not_decode_is_named(exported, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"not an image")
    with pytest.raises(ValueError, match=r"broken.png does not decode: A file of"):
        search(exported.export_dir, [str(tmp_path / "broken.png")], 5)


def test_k_beyond_the_images_is_refused(exported, query):
    with pytest.raises(ValueError, match=r"\[1, 256\].*Received: 257"):
        search(exported.export_dir, [query], 257)


def test_without_scann_it_searches_exactly_and_says_so(exported, query, monkeypatch):
    (expected,), _ = search(exported.export_dir, [query], 5)
    monkeypatch.setitem(sys.modules, "scann", None)
    (found,), how = search(exported.export_dir, [query], 5)
    assert [item["id"] for item in found] == [item["id"] for item in expected]
    assert how.startswith("Searched exactly, without ScaNN: The index needs ScaNN: pip")


def test_the_same_file_twice_is_searched_twice(exported, query):
    (first, second), _ = search(exported.export_dir, [query, query], 5)
    assert first == second


def test_what_was_added_since_is_found_and_shown(exported, tmp_path):
    directory, added = str(tmp_path / "export"), str(tmp_path / "new.png")
    shutil.copytree(exported.export_dir, directory)
    pixels = np.random.default_rng(0).integers(0, 256, [8, 8, 3], np.uint8)
    tf.io.write_file(added, tf.io.encode_png(pixels))
    encoder = tf.saved_model.load(f"{directory}/encoder/1").signatures["serving_bytes"]
    embedding = encoder(image_bytes=tf.io.read_file(added)[None])["embeddings"].numpy()
    index = LiveIndex(f"{directory}/index")
    index.upsert([added, "gone.png"], np.concatenate([embedding, embedding]))
    index.close()
    gallery = tmp_path / "gallery.html"
    flags = SearchFlags(export_dir=directory, k=5, gallery=str(gallery))
    main(given(flags, arguments=[added]))
    html = gallery.read_text(encoding="utf-8")
    images = [part.split('"')[0] for part in html.split("data:image/png;base64,")[1:]]
    assert len(images) == 1 + 4
    assert images[0] in images[1:3]
    assert "gone.png" in html  # Without its image, which is nowhere.
    assert html.count("no picture%3C") == 1


def test_an_id_that_is_a_path_opens_no_file(exported, query, tmp_path):
    directory, secret = str(tmp_path / "export"), str(tmp_path / "secret.png")
    shutil.copytree(exported.export_dir, directory)
    pixels = np.random.default_rng(1).integers(0, 256, [8, 8, 3], np.uint8)
    encoded = tf.io.encode_png(pixels)
    tf.io.write_file(secret, encoded)
    (tmp_path / "secret.txt").write_text("no image")
    names = [secret, str(tmp_path / "secret.txt"), f"{tmp_path}/./query <7>.png"]
    index = LiveIndex(f"{directory}/index")
    index.upsert(names, index.embeddings(["7"] * len(names)))
    index.close()
    gallery = tmp_path / "gallery.html"
    flags = SearchFlags(export_dir=directory, k=5, gallery=str(gallery))
    main(given(flags, arguments=[query]))
    html = gallery.read_text(encoding="utf-8")
    images = [part.split('"')[0] for part in html.split("data:image/png;base64,")[1:]]
    assert all(os.path.basename(name).split(" ")[0] in html for name in names)
    assert base64.b64encode(encoded.numpy()).decode() not in images
    assert images.count(images[0]) == 2  # The query, and the training image it is.


def test_without_a_query_it_says_which_flag_to_pass(exported):
    with pytest.raises(ValueError, match="--image=FILE"):
        main(given(SearchFlags(export_dir=exported.export_dir)))


def test_other_programs_read_json_or_csv(exported, query, tmp_path, capsysbinary):
    other = str(tmp_path / "other \udcff.png")
    shutil.copy(query, other)
    expected, how = search(exported.export_dir, [query, other], 3)
    settings = {"export_dir": exported.export_dir, "image": (query, other), "k": 3}
    flags = SearchFlags(format="json", gallery=str(tmp_path / "g.html"), **settings)
    main(given(flags))
    shown = capsysbinary.readouterr()
    lines = [json.loads(line) for line in shown.out.splitlines()]
    assert [line["query"] for line in lines] == [query, other]
    assert [line["neighbors"] for line in lines] == expected
    assert shown.err.decode().splitlines() == [how, f"Gallery: {flags.gallery}"]
    main(given(SearchFlags(format="csv", **settings)))
    text = capsysbinary.readouterr().out.decode("utf-8", "surrogateescape")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["id"] for row in rows] == [
        item["id"] for neighbors in expected for item in neighbors
    ]
    assert rows[0].keys() == {"query", "id", "label", "similarity"}
    assert [row["query"] for row in rows] == 3 * [query] + 3 * [other]


def test_a_table_is_as_wide_as_its_ids():
    name = "a" * 60 + "\x1b"
    found = [{"id": name, "label": None, "similarity": 0.5},
             {"id": "b", "label": "label", "similarity": -0.25}]  # fmt: skip
    lines = table(["x", "y"], [found, found[1:]])
    assert lines[:3] == ["x", "id" + " " * 64 + "label  similarity",
                         "a" * 60 + "\\x1b" + " " * 13 + "0.5000"]  # fmt: skip
    assert lines[4:] == ["y", lines[1], lines[3]]
    assert len({len(line) for line in lines if line not in "xy"}) == 1
