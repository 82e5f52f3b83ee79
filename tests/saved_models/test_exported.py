"""Files are embedded as the exported encoder does, and bad ones are told of."""

import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from npid_tf.saved_models.exported import embed_files, load_encoder


@pytest.fixture(scope="module")
def hash_of_encoder(exported):
    path = os.path.join(exported.export_dir, "index", "manifest.json")
    with open(path, encoding="utf-8") as file:
        return json.load(file)["encoder_hash"]


@pytest.fixture
def files(tmp_path):
    """Two PNG files, a file that is no image, and a path to nothing."""
    paths = [str(tmp_path / name) for name in ("a.png", "bad.png", "b.png", "none.png")]
    for path in paths[::2]:
        pixels = np.random.default_rng(len(path)).integers(0, 256, [9, 7, 3], np.uint8)
        tf.io.write_file(path, tf.io.encode_png(pixels))
    tf.io.write_file(paths[1], b"no image")
    return paths


def test_bad_files_are_named_and_do_not_keep_others_out(
    exported, hash_of_encoder, files
):
    encoder = load_encoder(exported.export_dir, hash_of_encoder)
    good_files = [files[0], files[2]]
    embeddings, good, bad = embed_files(encoder, files)
    assert good == good_files
    assert bad.pop(files[1]).startswith(f"{files[1]} does not decode: A file of 8 ")
    assert bad == {files[3]: f"No image file {files[3]}: No such file or directory."}
    data = tf.stack([tf.io.read_file(path) for path in good_files])
    expected = encoder.function(image_bytes=data)["embeddings"]
    np.testing.assert_allclose(embeddings, expected, atol=1e-6)
    embeddings, good, bad = embed_files(encoder, [files[1]])
    assert (embeddings.shape, good, len(bad)) == ((0, 16), [], 1)


def test_the_newest_with_that_hash_is_loaded(exported, hash_of_encoder, tmp_path):
    directory = tmp_path / "export"
    shutil.copytree(exported.export_dir, directory)
    shutil.copytree(directory / "encoder" / "1", directory / "encoder" / "2")
    path = directory / "encoder" / "2" / "assets.extra" / "npid_tf.json"
    path.write_text(json.dumps({"encoder_hash": "newer"}), encoding="utf-8")
    for known in (hash_of_encoder, "newer"):
        assert callable(load_encoder(str(directory), known).function)
    with pytest.raises(ValueError, match="made by another encoder"):
        load_encoder(str(directory), "unknown")
