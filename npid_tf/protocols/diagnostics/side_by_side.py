"""A page to see what was learned: the neighbors of a few queries, by their embeddings
and, below, by their pixels."""

import dataclasses
import os

import numpy as np
import tensorflow as tf

from npid_tf.command_line.fields import Flags, flag
from npid_tf.data import decode
from npid_tf.data.shrink import shrink
from npid_tf.data.sources.source import with_classes_of
from npid_tf.distribution.strategies import build_local_strategy
from npid_tf.files.whole_files import write_whole
from npid_tf.protocols.diagnostics.thumbnails import class_name
from npid_tf.protocols.embeddings import embed_all, has_labels, sample_images, unit
from npid_tf.protocols.knn import pixel_vectors
from npid_tf.protocols.protocol import Protocol
from npid_tf.reports.html import SIDE, image_row, page, paragraph
from npid_tf.runs import build, data

NUM_SHOWN = 8  # neighbors of a query
EXPLAINED = (
    "Each pair of rows: a query, then the training images nearest to it, first by the "
    "learned embeddings, then by pixels. Of the query's class is right (a solid green "
    "frame), of another one is wrong (a dashed red frame)."
)


@dataclasses.dataclass(frozen=True)
class SideBySideFlags(Flags):
    """How many are shown."""

    num_queries: int = flag(5, "Random queries to show", at_least=1)


def evaluate_side_by_side(config, flags):
    """Writes WORKDIR/evaluation/side_by_side.html: queries and their neighbors.

    Queries are images to classify where there are some, else training images. Returns
    a list of dicts with the keys query, class, and how many of the neighbors shown are
    of its class, by embeddings and by pixels (None without labels). Raises ValueError
    where a checkpoint is missing.
    """
    source = data.build_source(config)
    eval_source = data.build_eval_source(config)
    if has_labels(source) and has_labels(eval_source):
        eval_source = with_classes_of(source, eval_source)
    queries = source if eval_source is None else eval_source
    asked = sample_images(queries.num_instances, flags.num_queries, config.seed)
    with build_local_strategy(config.strategy).scope():
        encoder = build.load_trained_encoder(config)
        learned = [
            embed_all(config, encoder, one)["refreshed embeddings"]
            for one in (source, queries)
        ]
    pixels = [pixel_vectors(config, one) for one in (source, queries)]
    mean = pixels[0].mean(axis=0)
    pixels = [unit(vectors - mean) for vectors in pixels]
    found = {
        name: _nearest(
            vectors, of_queries[asked], asked if eval_source is None else None
        )
        for name, (vectors, of_queries) in (("embeddings", learned), ("pixels", pixels))
    }
    path = os.path.join(config.workdir, "evaluation", "side_by_side.html")
    title = f"What {config.workdir} has learned"
    pieces = [paragraph(EXPLAINED), *_rows(source, queries, asked, found)]
    subtitle = f"{source.num_instances:,} training images of {config.dataset}."
    write_whole(path, page(title, subtitle, {"Neighbors": pieces}))
    print(f"Neighbors of {len(asked)} queries, side by side: {path}")
    return [
        {
            "query": _name(queries, query),
            "class": None if queries.labels is None else _class(queries, query),
            **{
                f"of its class by {name}": _count(source, queries, query, row)
                for name, row in ((name, rows[place]) for name, rows in found.items())
            },
        }
        for place, query in enumerate(asked)
    ]


def _nearest(vectors, queries, own):
    """int64 [num_queries, NUM_SHOWN]; own: rows of the queries themselves, or None."""
    similarities = queries @ vectors.T
    if own is not None:
        similarities[np.arange(len(own)), own] = -np.inf
    return np.argsort(-similarities, axis=1, kind="stable")[:, :NUM_SHOWN]


def _rows(source, queries, asked, found):
    for place, query in enumerate(asked):
        for name, rows in found.items():
            figures = [_figure(queries, query, f"{name}:", "query")]
            for row in rows[place]:
                kind = ""
                if has_labels(source) and has_labels(queries):
                    is_right = source.labels[row] == queries.labels[query]
                    kind = "right" if is_right else "wrong"
                figures.append(_figure(source, row, kind, kind))
            yield image_row(f"Neighbors by {name} of {_name(queries, query)}", figures)


def _figure(source, index, note, kind):
    name = _name(source, index)
    if source.labels is not None:
        name = f"{_class(source, index)}, {name}"
    record = tf.convert_to_tensor(source.read(index))
    return (
        f"{note} {name}".strip(),
        shrink(decode.pixels(record, source.decoding), SIDE),
        name,
        kind,
    )


def _name(source, index):
    return str(index if source.paths is None else source.paths[index])


def _class(source, index):
    return class_name(source, source.labels[index])


def _count(source, queries, query, row):
    if not (has_labels(source) and has_labels(queries)):
        return None
    return f"{int((source.labels[row] == queries.labels[query]).sum())} of {len(row)}"


PROTOCOL = Protocol("side_by_side", evaluate_side_by_side, SideBySideFlags)
