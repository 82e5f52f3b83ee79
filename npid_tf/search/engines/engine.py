"""What an engine is: how an index is written, opened and told of."""

import typing
from collections.abc import Callable

import numpy as np


class Items(typing.NamedTuple):
    """What an index is made of, and how well it must find it.

    vectors: float32 [n, dim]; ids: n of them; labels: n texts, or None; k: the
    neighbors that `recall`, a part of them, is measured over; queries: float32 [m,
    dim] that are not in the index, or None; dtype: what vectors are kept as.
    """

    vectors: np.ndarray
    ids: list
    labels: list | None
    k: int
    recall: float
    queries: np.ndarray | None
    dtype: str


class Engine(typing.NamedTuple):
    """One way to keep and search the items of an export.

    name: of `--engine`.
    title: what people call it.
    needs_uri: whether it is at a --uri.
    check_write: (uri) -> None. Raises ValueError where something is missing that
        `write` needs, before anything is computed.
    write: (folder, uri, Items, description) -> the manifest: a dict with n, recall
        ({"k", "value"}), queries, settings, and all of `description`. folder: of the
        export, which is not in its place yet. What is written to folder/index/ must
        hold that manifest, by `search.index_files.write_manifest`: `new_export` and the
        server read there which models belong to the index.
    open: (export_dir, uri, newest_hash) -> an index with `search(embeddings, k)`,
        `labels(ids)` and `stats()`, as `LiveIndex` has them; stats have items, engine,
        encoder_hash and recall. newest_hash: a function to the hash of the export's
        newest encoder.
    tell: (manifest, uri) -> where the index is and what it takes, in a few words.
    """

    name: str
    title: str
    needs_uri: bool
    check_write: Callable
    write: Callable
    open: Callable
    tell: Callable
