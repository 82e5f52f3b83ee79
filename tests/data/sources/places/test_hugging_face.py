"""Data sets that Hugging Face's `datasets` saved are places."""

import io

import numpy as np
import PIL.Image
import pytest

from npid_tf.data.sources import Place, load_source
from npid_tf.data.sources.places import list_images
from npid_tf.errors import UserError

datasets = pytest.importorskip(
    "datasets", reason="The extra is missing: npid_tf[huggingface]"
)


@pytest.fixture(scope="module")
def pets():
    """Three images with labels, as `datasets` has them."""
    images = [PIL.Image.new("RGB", (5, 4), (value, 0, 0)) for value in (10, 20, 30)]
    features = datasets.Features(
        image=datasets.Image(), label=datasets.ClassLabel(names=["zebra", "ant", "owl"])
    )
    return datasets.Dataset.from_dict(
        {"image": images, "label": [1, 0, 1]}, features=features
    )


@pytest.mark.parametrize("order", [None, [2, 0]])
def test_a_saved_data_set_is_read_as_it_is(pets, tmp_path, order):
    expected = [10, 20, 30] if order is None else [30, 10]
    # `select` keeps the table, and a list of the rows that are left.
    (pets if order is None else pets.select(order)).save_to_disk(tmp_path / "pets")
    for name in (f"hf:{tmp_path}/pets", f"{tmp_path}/pets"):
        source = load_source(name, "train", Place())
        pixels = [
            np.asarray(PIL.Image.open(io.BytesIO(record.numpy())))[0, 0, 0]
            for record in (source.record(handle) for _, handle in source.in_order())
        ]
        assert pixels == expected
        assert source.class_names == ("zebra", "ant", "owl")  # Its own order.
        assert source.labels.tolist() == ([1, 0, 1] if order is None else [1, 1])
        assert source.paths[0] == f"{tmp_path}/pets/0"


def test_sizes_are_those_of_the_images(pets, tmp_path):
    pets.save_to_disk(tmp_path / "pets")
    items = list_images(tmp_path / "pets").items.values()
    assert [item.size for item in items] == [len(item.read()) for item in items]


def test_what_is_not_one_data_set_of_images_is_refused(pets, tmp_path):
    datasets.DatasetDict(test=pets, train=pets).save_to_disk(tmp_path / "both")
    with pytest.raises(UserError, match=r"several data sets.*hf:.*/test, hf:.*/train"):
        list_images(f"hf:{tmp_path}/both")
    pets.remove_columns("image").save_to_disk(tmp_path / "none")
    with pytest.raises(UserError, match=r"no column of images. It has: label"):
        list_images(f"hf:{tmp_path}/none")
    with pytest.raises(UserError, match=r"cannot be read as a data set"):
        list_images(f"hf:{tmp_path}")
