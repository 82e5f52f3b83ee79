"""Which index is built, what it takes on disk, and the recall that it promises."""

import numpy as np
import pytest

from npid_tf.search import builder
from npid_tf.search.builder import build_scann_index, check_dtype, choose_settings
from npid_tf.search.nearest import nearest
from npid_tf.search.scann_index import load_index
from npid_tf.search.tuning import Trials
from tests.support.vectors import unit_rows

N, DIM = 3000, 16


@pytest.fixture(scope="module", autouse=True)
def scann():
    return pytest.importorskip("scann")


@pytest.fixture
def small_trees(monkeypatch):
    """Makes trees of few vectors too."""
    monkeypatch.setattr(builder, "BRUTE_FORCE_UP_TO", 0)
    monkeypatch.setattr(builder, "TREE_ABOVE", 0)


@pytest.fixture
def small_quantized(monkeypatch):
    monkeypatch.setattr(builder, "BRUTE_FORCE_UP_TO", 0)


def build(recall, dtype="float32", queries=None, n=N, k=10):
    return build_scann_index(
        unit_rows(n, DIM), list(range(n)), None, k, recall, dtype, queries
    )


@pytest.mark.parametrize(
    ("n", "kind", "leaves"),
    [
        (20_000, "brute force", None),
        (20_001, "quantized", None),
        (100_000, "quantized", None),
        (1_000_000, "tree", 1000),
    ],
)
def test_the_kind_follows_the_number_of_vectors(n, kind, leaves):
    settings = choose_settings(n, "int8")
    assert (settings["kind"], settings.get("leaves")) == (kind, leaves)
    assert settings["dtype"] == "int8"


def recall_of(index, queries, k=10):
    """By definition, with none of the package's own measuring."""
    order = np.argsort(-queries @ unit_rows(N, DIM).T, axis=1)[:, :k]
    rows, _ = index.search(queries, k)
    return np.mean([len(set(a) & set(b)) for a, b in zip(order, rows, strict=True)]) / k


@pytest.mark.parametrize("held_out", [True, False])
def test_a_tree_reaches_its_recall_on_queries_it_was_not_tuned_on(
    small_trees, held_out
):
    queries = unit_rows(1000, DIM, seed=1)
    index = build(0.95, queries=queries[:500] if held_out else None)
    assert index.manifest["settings"]["kind"] == "tree"
    # Tuning keeps two standard errors to the target; here are 500 other queries. Rows
    # of the index, which tune it where nothing is held out, are easier than new ones.
    assert recall_of(index, queries[500:]) >= (0.94 if held_out else 0.92)


def test_a_higher_recall_searches_more_leaves(small_trees):
    low, high = build(0.5), build(0.97)
    leaves = [index.manifest["settings"]["leaves_to_search"] for index in (low, high)]
    assert leaves[0] < leaves[1]
    queries = unit_rows(300, DIM, seed=1)
    assert recall_of(low, queries) + 0.1 < recall_of(high, queries)


def test_a_quantized_index_reaches_its_recall(small_quantized):
    index = build(0.99)
    assert index.manifest["settings"]["kind"] == "quantized"
    assert recall_of(index, unit_rows(500, DIM, seed=1)) >= 0.98


def test_all_leaves_and_all_reordered_is_exact_search(small_trees):
    index = build(0.6)
    index.manifest["settings"] |= {"leaves_to_search": 55, "reordered": N}
    queries = unit_rows(50, DIM, seed=1)
    rows, similarities = index.search(queries, 10)
    expected_similarities, expected = nearest(queries, unit_rows(N, DIM), 10)
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_allclose(similarities, expected_similarities, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_a_loaded_index_searches_as_it_was_tuned(small_trees, dtype, tmp_path):
    queries = unit_rows(200, DIM, seed=1)
    index = build(0.9, dtype, queries)
    index.save(str(tmp_path))
    loaded = load_index(str(tmp_path))
    measured = Trials(unit_rows(N, DIM), 10, queries).measure(loaded)
    assert measured["recall"] == loaded.manifest["recall"]["value"]
    chosen = loaded.manifest["settings"]
    (entry,) = [e for e in loaded.manifest["curve"] if e["settings"] == chosen]
    assert entry["recall"] == loaded.manifest["recall"]["value"] >= 0.9
    assert loaded.manifest["recall"]["target"] == 0.9
    assert loaded.manifest["queries"] == "200 images that are not in the index"


@pytest.mark.parametrize(
    ("dtype", "bytes_a_number"), [("float32", 4), ("bfloat16", 2), ("int8", 1)]
)
@pytest.mark.parametrize("kind", ["brute force", "quantized", "tree"])
def test_the_vectors_are_on_disk_once(kind, dtype, bytes_a_number, request, tmp_path):
    if kind != "brute force":
        name = "quantized" if kind == "quantized" else "trees"
        request.getfixturevalue(f"small_{name}")
    index = build(0.6, dtype)
    index.save(str(tmp_path))
    assert index.manifest["settings"]["kind"] == kind
    codes = 0 if kind == "brute force" else N * DIM // 4  # A byte for four numbers.
    leaf_of_each = 4 * N if kind == "tree" else 0
    vectors = bytes_a_number * N * DIM
    rest = index.manifest["bytes"] - vectors - codes - leaf_of_each
    assert 0 < rest < min(codes or vectors, vectors)


def test_more_neighbors_than_tuned_for_are_found_too(small_quantized):
    index = build(0.9)
    rows, _ = index.search(unit_rows(20, DIM, seed=1), 100)
    assert (rows >= 0).all()
    assert recall_of(index, unit_rows(100, DIM, seed=1), 100) > 0.9


def test_a_recall_that_no_setting_reaches_is_refused():
    with pytest.raises(
        ValueError, match=r"misses --recall=1.0.*'int8'.*recall@10 of 0.9.*float32"
    ):
        build(1.0, "int8")


def test_one_image_is_refused():
    with pytest.raises(ValueError, match=r"2 images or more. Received: 1"):
        build(0.9, n=1, k=1)


def test_as_many_neighbors_as_images_are_measured_without_the_query():
    index = build(1.0, n=5, k=5)
    assert index.manifest["recall"] == {"k": 5, "target": 1.0, "value": 1.0}


def test_an_unknown_dtype_is_refused():
    with pytest.raises(ValueError, match=r"'int4'. Known: float32, bfloat16, int8"):
        check_dtype("int4")
