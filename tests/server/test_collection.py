"""The index that is served, with the images behind its ids."""

import shutil
import types

import numpy as np
import pytest

from npid_tf.runs import data
from npid_tf.search.live.index import LiveIndex
from npid_tf.server.collection import Collection
from npid_tf.server.limits import RequestError
from npid_tf.server.models import Models


@pytest.fixture
def collection(trained_workdir, exported, tmp_path):
    directory = tmp_path / "index"
    shutil.copytree(f"{exported.export_dir}/index", directory)
    index = LiveIndex(str(directory))
    yield Collection(index, data.build_source(trained_workdir))
    index.close()


def unit(*values):
    vector = np.zeros([1, 16], np.float32)
    vector[0, : len(values)] = values
    return vector / np.linalg.norm(vector)


def test_a_search_describes_what_it_finds_down_to_the_threshold(collection):
    query = collection.embeddings(["7"])
    ((first, *rest),), exact = collection.search(query, 256, -1.0)
    assert exact
    assert first["similarity"] == pytest.approx(1, abs=1e-5)
    del first["similarity"]
    assert first == {"id": "7", "label": "7", "has_thumbnail": True}
    similarities = [item["similarity"] for item in rest]
    assert similarities == sorted(similarities, reverse=True)
    assert len(rest) == 255
    middle = similarities[100]
    (found,), _ = collection.search(query, 256, middle)
    assert [item["similarity"] for item in found[1:]] == similarities[:101]


def test_new_items_have_no_thumbnail_nor_has_a_training_image_that_was_replaced(
    collection,
):
    collection.upsert(["new", "7"], np.concatenate([unit(1), unit(0, 1)]), ["x", None])
    ((found,),), _ = collection.search(unit(1), 1, -1.0)
    assert (found["id"], found["label"], found["has_thumbnail"]) == ("new", "x", False)
    assert [item["has_thumbnail"] for item in collection.describe(["7", "8"])] == [
        False,
        True,
    ]
    for name in ("new", "7"):
        with pytest.raises(RequestError, match="Only training images"):
            collection.thumbnail(name)
    assert collection.thumbnail("8").startswith(b"\x89PNG")


def test_unknown_and_deleted_ids_are_told(collection):
    collection.delete("7")
    for ask in (collection.delete, collection.thumbnail):
        for name in ("7", "../8", ""):
            with pytest.raises(RequestError, match="No item has the id") as caught:
                ask(name)
            assert caught.value.status == 404
    with pytest.raises(RequestError, match="No item has the id 'x'"):
        collection.embeddings(["8", "x"])


def test_what_the_index_refuses_is_told(collection):
    with pytest.raises(RequestError, match="An id must be a str") as caught:
        collection.upsert([5], unit(1), None)
    assert caught.value.status == 400


def test_the_items_come_in_pages(collection):
    items, total = collection.page(250, 100)
    assert (total, [item["id"] for item in items]) == (
        256,
        [str(number) for number in range(250, 256)],
    )
    assert collection.page(10**6, 5) == ([], 256)


def test_the_index_of_another_encoder_is_refused(collection, exported):
    collection.check_encoder(Models(exported.export_dir).load("encoder", 1))
    other = types.SimpleNamespace(encoder_hash="other", version=2)
    with pytest.raises(RequestError, match="another encoder than version 2") as caught:
        collection.check_encoder(other)
    assert caught.value.status == 503


def test_an_index_that_is_only_read_refuses_changes_with_403(collection):
    directory = collection.index._files.index_dir
    reader = Collection(LiveIndex(directory, read_only=True), None)
    assert reader.index.read_only and not collection.index.read_only
    for change in (
        lambda: reader.upsert(["a"], unit(1), [None]),
        lambda: reader.delete("7"),
    ):
        with pytest.raises(RequestError, match="only be read") as error:
            change()
        assert error.value.status == 403
    reader.index.close()
