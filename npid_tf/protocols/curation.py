"""What to keep of a pile of images: copies, leaks, outliers, a diverse subset.

Writes CSVs to WORKDIR/evaluation/curation/, of all images, however many:
near_duplicates.csv (pairs), duplicate_groups.csv (what pairs connect), outliers.csv,
diverse_subset.csv, and leaks.csv where there are images to look for copies of.
"""

import dataclasses
import os
import shutil

import numpy as np

from npid_tf.command_line.fields import Flags, flag
from npid_tf.distribution.strategies import build_local_strategy
from npid_tf.evaluation import curation
from npid_tf.evaluation.neighborhood import similar_pairs, without_mirrored
from npid_tf.evaluation.neighbors_of_all import NeighborSearch
from npid_tf.files.folder_swap import put_folder
from npid_tf.files.run_lock import in_turn
from npid_tf.files.tables import write_csv
from npid_tf.protocols.labelled import layer_vectors
from npid_tf.protocols.protocol import Protocol
from npid_tf.runs import build, data

SIMILARITY = "%.6f"


@dataclasses.dataclass(frozen=True)
class CurationFlags(Flags):
    """Which images are looked through, and how much is listed."""

    data: str | None = flag(
        None, "Images to look through, as of `npid embed`; None: the run's own",
        path=True,
    )  # fmt: skip
    against: str | None = flag(
        None, "Images whose copies among those are leaks; None: those of "
        "--eval_dataset and --eval_split", path=True,
    )  # fmt: skip
    duplicate_similarity: float = flag(
        0.95, "Similarity from which two images count as near duplicates",
        above=0, at_most=1,
    )  # fmt: skip
    neighbors: int = flag(
        10, "Nearest others of each image that are compared with it", at_least=1
    )
    num_outliers: int = flag(1_000, "Outliers to list, at most", at_least=1)
    subset_size: int = flag(1_000, "Images of the diverse subset", at_least=1)


def evaluate_curation(config, flags):
    """Writes the CSVs (see above).

    Returns a list of dicts with the keys measure, value and over.
    Raises ValueError where a checkpoint is missing, or there is one image alone.
    """
    source = _source(config, flags.data)
    against = _source(config, flags.against, build_own=data.build_eval_source)
    with build_local_strategy(config.strategy).scope():
        encoder = build.load_trained_encoder(config)
        vectors = _embed(config, encoder, source)
        queries = None if against is None else _embed(config, encoder, against)
    directory = os.path.join(config.workdir, "evaluation", "curation")
    with in_turn(os.path.dirname(directory)):  # Another one may write its own.
        partial = f"{directory}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        os.makedirs(partial)
        rows = curate(flags, vectors, queries, source.paths, against, partial)
        put_folder(partial, directory)
    print(f"Lists: {directory}")
    return rows


def curate(flags, vectors, queries, paths, against, directory):
    """The rows of the table; writes the lists into `directory`.

    Args:
        vectors: float32 [num_images, dim], unit length; queries: of the images of the
            source `against`; both may be None.
        paths: of the images, or None.
    """
    search = NeighborSearch(vectors, min(flags.neighbors, len(vectors) - 1))
    similarities, neighbors = search.of_all()
    rows = []

    def add(name, value, over):
        rows.append({"measure": name, "value": value, "over": over})

    images = f"{len(vectors):,} images"
    alike = f"at a similarity of {flags.duplicate_similarity} or more"
    nearest = f"{search.k} nearest of each"
    add("part of the nearest found", search.recall, f"{nearest}, {search.how}")
    pairs = without_mirrored(*similar_pairs(similarities, neighbors))
    pairs = pairs_at_least(flags.duplicate_similarity, *pairs)
    write_pairs(f"{directory}/near_duplicates.csv", pairs, paths, paths)
    add("near-duplicate pairs", len(pairs[0]), f"{images}, {nearest}, {alike}")
    groups = curation.groups(*pairs[:2], len(vectors))
    _write_groups(f"{directory}/duplicate_groups.csv", groups, paths)
    add("groups of near duplicates", len(groups), "what these pairs connect")
    spare = sum(len(group) - 1 for group in groups)
    add("images to spare", spare, "all but one of each group")
    if against is not None:
        leaks = similar_pairs(*search.of(queries))
        leaks = pairs_at_least(flags.duplicate_similarity, *leaks)
        write_pairs(f"{directory}/leaks.csv", leaks, against.paths, paths)
        over = f"{len(queries):,} images of {flags.against or 'the evaluation'}, "
        over += f"{alike} to one of {images}"
        add("possible leaks", len(np.unique(leaks[0])), over)
    found, means = curation.true_outliers(search, similarities, flags.num_outliers)
    _write_images(f"{directory}/outliers.csv", "mean_similarity", found, means, paths)
    over = f"{nearest}; least of {images}"
    add("mean similarity of the first outlier", float(means[0]), over)
    chosen, values, covered = curation.diverse_subset(vectors, flags.subset_size)
    path = f"{directory}/diverse_subset.csv"
    _write_images(path, "similarity_to_nearest_before", chosen, values, paths)
    over = f"least similarity of {images} to the nearest of {len(chosen):,} chosen"
    add("diverse subset covers", covered, over)
    return rows


def write_pairs(path, pairs, first_paths, second_paths):
    """Pairs (first, second, similarities) as lines of a CSV file."""
    columns = ["similarity", "first", "second", "first_path", "second_path"]
    lines = (
        [
            SIMILARITY % similarity,
            first,
            second,
            "" if first_paths is None else first_paths[first],
            "" if second_paths is None else second_paths[second],
        ]
        for first, second, similarity in zip(*pairs, strict=True)
    )
    write_csv(path, columns, lines)


def _write_groups(path, groups, paths):
    lines = (
        [number, len(group), row, "" if paths is None else paths[row]]
        for number, group in enumerate(groups, start=1)
        for row in group
    )
    write_csv(path, ["group", "images", "index", "path"], lines)


def _write_images(path, what, rows, values, paths):
    lines = (
        [
            "" if np.isnan(value) else SIMILARITY % value,
            row,
            "" if paths is None else paths[row],
        ]
        for row, value in zip(rows, values, strict=True)
    )
    write_csv(path, [what, "index", "path"], lines)


def pairs_at_least(least, first, second, similarities):
    """Pairs, the most similar first, down to the similarity `least`."""
    count = np.count_nonzero(similarities >= least)
    return first[:count], second[:count], similarities[:count]


def _source(config, place, build_own=data.build_source):
    return build_own(config) if place is None else data.load(place, "train", config)


def _embed(config, encoder, source):
    return layer_vectors(config, encoder, source, ("embedding",))["embedding"]


PROTOCOL = Protocol("curation", evaluate_curation, CurationFlags)
