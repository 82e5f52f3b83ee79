"""The index that is served, with the images behind its ids."""

import shutil
import types

import numpy as np
import pytest

from npid_tf.pictures.pictures import pictures_of_folder
from npid_tf.runs import data
from npid_tf.search.live.index import LiveIndex
from npid_tf.server.collection import Collection
from npid_tf.server.limits import RequestError
from npid_tf.server.models import Models

PNG = b"\x89PNG"


@pytest.fixture
def collection(trained_workdir, exported, tmp_path):
    directory = tmp_path / "index"
    shutil.copytree(f"{exported.export_dir}/index", directory)
    index = LiveIndex(str(directory))
    pictures = pictures_of_folder(
        str(directory), lambda _: data.build_source(trained_workdir)
    )
    collection = Collection(index, pictures)
    yield collection
    collection.close()


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


def test_new_items_have_their_pictures_and_never_that_of_a_training_image(collection):
    collection.upsert(
        ["new", "7", "6"],
        np.concatenate([unit(1), unit(0, 1), unit(0, 0, 1)]),
        ["x", None, None],
        [PNG, PNG, None],
    )
    ((found,),), _ = collection.search(unit(1), 1, -1.0)
    assert (found["id"], found["label"], found["has_thumbnail"]) == ("new", "x", True)
    described = collection.describe(["6", "7", "8", "unknown"])
    assert [item["has_thumbnail"] for item in described] == [False, True, True, False]
    assert collection.thumbnail("new") == collection.thumbnail("7") == PNG
    with pytest.raises(RequestError, match=r"There is no picture of '6'\."):
        collection.thumbnail("6")
    assert collection.thumbnail("8").startswith(b"\x89PNG")
    collection.delete("new")
    assert "new" not in collection.pictures.store.names()


def test_a_change_that_is_refused_leaves_the_picture(collection):
    before = collection.thumbnail("7")
    for labels in ([5], ["x", "y"]):
        with pytest.raises(RequestError):
            collection.upsert(["7"], unit(1), labels, [PNG])
    assert collection.thumbnail("7") == before


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
        collection.upsert([5], unit(1), None, [None])
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
    pictures = pictures_of_folder(directory, lambda _: None)
    reader = Collection(LiveIndex(directory, read_only=True), pictures)
    assert reader.index.read_only and not collection.index.read_only
    for change in (
        lambda: reader.upsert(["7"], unit(1), [None], [PNG]),
        lambda: reader.delete("7"),
    ):
        with pytest.raises(RequestError, match="only be read") as error:
            change()
        assert error.value.status == 403
    assert not pictures.store.names()
    reader.close()
