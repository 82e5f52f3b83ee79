"""Builds the index: its kind by the number of vectors, its effort by a recall."""

from npid_tf.command_line.progress import progress
from npid_tf.errors import UserError
from npid_tf.search import tuning
from npid_tf.search.scann_index import ScannIndex, import_scann

DTYPES = ("float32", "bfloat16", "int8")
BRUTE_FORCE_UP_TO = 20_000
TREE_ABOVE = 100_000
TRAINING_SAMPLE = 100_000
# Half the codes of ScaNN's advice of 2: at a million vectors faster for equal recall,
# since more candidates scored again cost less than a longer scan.
DIMENSIONS_PER_CODE = 4
# ScaNN's advice for dot products: quantization errs less along the vector.
ANISOTROPY = 0.2


def build_scann_index(
    vectors, ids, labels, k, recall, dtype="float32", queries=None, **description
):
    """Indexes the training images, searching no more than a recall demands.

    Args:
        vectors: float32 [num_instances, dim], unit length.
        ids: a path or number for every row.
        labels: a class name for every row, or None.
        k: neighbors for which the index is tuned.
        recall: part of the true k nearest that it must find, in (0, 1].
        dtype: float32, bfloat16 or int8: how the vectors are kept that the last
            candidates are scored with.
        queries: float32 [num_queries, dim], of images not in the index, to tune with;
            None: rows of it, each without itself.
        **description: more keys of the manifest, such as encoder_hash.

    Returns:
        ScannIndex; its manifest holds the description, n, dim, the settings chosen,
        recall and the curve they were chosen from.

    Raises:
        ImportError: without scann.
        ValueError: if no setting has that recall, or there are fewer than 2 rows.
    """
    if len(vectors) < 2:
        raise UserError(f"An index needs 2 images or more. Received: {len(vectors)}.")
    settings = choose_settings(len(vectors), dtype)
    builder = import_scann().scann_ops_pybind.builder
    searcher = build_searcher(builder, vectors, k, settings)
    manifest = {**description, "n": len(vectors), "dim": vectors.shape[1]}
    trials = tuning.Trials(vectors, k, queries)
    curve, candidates = [], tuning.candidates(settings, k)
    with progress("Tuning the index", len(candidates), "settings") as bar:
        for candidate in candidates:
            trial = {**manifest, "settings": candidate, "recall": {"k": k}}
            index = ScannIndex(searcher, ids, labels, trial)
            curve.append({"settings": candidate, **trials.measure(index)})
            bar.update()
    chosen = tuning.choose(curve, recall, k)
    manifest["settings"] = chosen["settings"]
    manifest["recall"] = {"k": k, "target": recall, "value": chosen["recall"]}
    manifest["queries"] = trials.description
    manifest["curve"] = curve
    return ScannIndex(searcher, ids, labels, manifest)


def choose_settings(n, dtype):
    """The kind of index for n vectors, and all settings that searching cannot change.

    Up to 20,000 vectors exact search, then quantized vectors of which the best are
    scored again as they are kept, beyond 100,000 in a tree of about sqrt(n) leaves.
    """
    if n <= BRUTE_FORCE_UP_TO:
        return {"kind": "brute force", "dtype": dtype}
    if n <= TREE_ABOVE:
        return {"kind": "quantized", "dtype": dtype}
    return {"kind": "tree", "dtype": dtype, "leaves": round(n**0.5)}


def check_dtype(dtype):
    """Raises ValueError for what vectors cannot be kept as."""
    if dtype not in DTYPES:
        raise UserError(f"Unknown index_dtype {dtype!r}. Known: {', '.join(DTYPES)}.")


def build_searcher(builder, vectors, k, settings):
    """ScaNN's own searcher for settings of `choose_settings`.

    builder: that of `scann.scann_ops_pybind`, or of `scann.scann_ops` for TensorFlow.
    """
    types = import_scann().ReorderType
    dtype = types[settings["dtype"].upper()]
    builder = builder(vectors, k, "dot_product")
    if settings["kind"] == "brute force":
        return builder.score_brute_force(dtype).build()
    if settings["kind"] == "tree":
        # Each search passes the number of leaves and of candidates to reorder.
        builder = builder.tree(
            settings["leaves"],
            num_leaves_to_search=1,
            training_sample_size=min(len(vectors), TRAINING_SAMPLE),
        )
    builder = builder.score_ah(
        DIMENSIONS_PER_CODE, anisotropic_quantization_threshold=ANISOTROPY
    )
    return builder.reorder(k, dtype, ANISOTROPY).build()
