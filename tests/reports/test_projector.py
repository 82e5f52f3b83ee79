"""TensorBoard's own projector reads back what was written."""

import json

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.plugin_event_multiplexer import (
    EventMultiplexer,
)
from tensorboard.plugins import base_plugin
from tensorboard.plugins.projector.projector_plugin import ProjectorPlugin
from werkzeug.test import Client
from werkzeug.wrappers import Response

from npid_tf.reports.projector import make_sprite, thumbnail_side, write_projector

RANDOM = np.random.default_rng(0)
EMBEDDINGS = RANDOM.normal(size=(5, 3)).astype(np.float32)
THUMBNAILS = RANDOM.integers(0, 256, (5, 4, 4, 3), dtype=np.uint8)


@pytest.fixture
def tensorboard(tmp_path):
    """Asks TensorBoard's projector for what it serves of tmp_path."""
    multiplexer = EventMultiplexer()
    context = base_plugin.TBContext(logdir=str(tmp_path), multiplexer=multiplexer)

    def get(route):
        plugin = ProjectorPlugin(context)
        plugin._update_configs()  # Else in a thread of its own, some time later.
        app = plugin.get_plugin_apps()[route]
        query = {"run": ".", "name": "embeddings"}
        response = Client(app, Response).get(route, query_string=query)
        assert response.status_code == 200, response.data
        return response.data

    return get


def test_tensorboard_serves_points_names_and_sprite(tmp_path, tensorboard):
    metadata = {"index": range(5), "label": ["a", "b\tc", "d", "é", "f"]}
    write_projector(tmp_path, EMBEDDINGS, metadata, THUMBNAILS)
    assert json.loads(tensorboard("/runs")) == ["."]
    (info,) = json.loads(tensorboard("/info"))["embeddings"]
    assert info["tensorShape"] == [5, 3]
    assert info["sprite"]["singleImageDim"] == [4, 4]
    tensor = np.frombuffer(tensorboard("/tensor"), np.float32).reshape(5, 3)
    np.testing.assert_allclose(tensor, EMBEDDINGS, rtol=1e-5)
    lines = tensorboard("/metadata").decode().splitlines()
    assert lines == ["index\tlabel", "0\ta", "1\tb c", "2\td", "3\té", "4\tf"]
    sprite = tf.io.decode_png(tensorboard("/sprite_image")).numpy()
    assert sprite.shape == (12, 12, 3)
    np.testing.assert_array_equal(sprite[4:8, :4], THUMBNAILS[3])


def test_a_single_column_has_no_head(tmp_path):
    write_projector(tmp_path, EMBEDDINGS, {"index": range(5)}, THUMBNAILS)
    assert (tmp_path / "metadata.tsv").read_text() == "0\n1\n2\n3\n4\n"


def test_the_sprite_is_filled_row_by_row_and_white_after_the_last():
    sprite = make_sprite(THUMBNAILS)
    np.testing.assert_array_equal(sprite[:4, 8:], THUMBNAILS[2])
    np.testing.assert_array_equal(sprite[4:8, 4:8], THUMBNAILS[4])
    assert (sprite[8:] == 255).all()


@pytest.mark.parametrize(
    ("num_images", "side"), [(1, 64), (16384, 64), (16385, 63), (67_108_864, 1)]
)
def test_a_sprite_of_any_number_keeps_to_tensorboards_limit(num_images, side):
    assert thumbnail_side(num_images) == side
    assert side * np.ceil(np.sqrt(num_images)) <= 8192


def test_more_images_than_pixels_are_refused():
    with pytest.raises(ValueError, match="at most 67108864 images"):
        thumbnail_side(67_108_865)
