"""What is good and bad about embeddings and data: figures, files, and a page to read.

Writes WORKDIR/evaluation/report/: report.html, near_duplicates.csv, leaks.csv where
there are images to classify, and projector/ for TensorBoard.
"""

import dataclasses
import os
import shutil

import numpy as np

from npid_tf.command_line.fields import Flags, flag
from npid_tf.data.sources.source import with_classes_of, without_classes
from npid_tf.errors import UserError
from npid_tf.evaluation.alignment import NUM_PAIRS, alignment, uniformity
from npid_tf.evaluation.curation import diverse_subset, true_outliers
from npid_tf.evaluation.neighborhood import (
    hubness,
    k_occurrences,
    similar_pairs,
    vote,
    without_mirrored,
)
from npid_tf.evaluation.neighbors_of_all import NeighborSearch
from npid_tf.files.run_lock import in_turn
from npid_tf.protocols.curation import pairs_at_least, write_pairs
from npid_tf.protocols.diagnostics.page import make_page
from npid_tf.protocols.diagnostics.thumbnails import class_name, read_thumbnails
from npid_tf.protocols.embeddings import embed_run, has_labels, sample_images
from npid_tf.protocols.protocol import Protocol
from npid_tf.reports.projector import thumbnail_side, write_projector
from npid_tf.runs import data
from npid_tf.search.nearest import nearest

NUM_NEIGHBORS = 10  # of hubness, pairs and page
NUM_SHOWN = 12  # outliers, and images of a diverse subset; `curation` lists more
NUM_VIEWED = 5_000  # images of which two views are aligned, at most
NUM_PROJECTED = 5_000  # images in TensorBoard's projector, at most


# In both, neighbors are (similarities [queries, k], training images [queries, k]), and
# pairs (images, images, similarities) of all neighbors of all, the most similar first.


@dataclasses.dataclass(frozen=True)
class Training:
    """Training images beside each other.

    vectors, neighbors: of each; occurrences: in how many lists of neighbors each is;
    how: the neighbors were found; outliers: (images, their mean similarity to their
    nearest), the least similar first; diverse: images of a diverse subset.
    """

    vectors: np.ndarray
    neighbors: tuple
    occurrences: np.ndarray
    near_duplicates: tuple
    how: str
    outliers: tuple
    diverse: np.ndarray


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """Images to classify beside training images.

    predicted: the class that kNN with k = num_voting gives each; None without labels.
    """

    vectors: np.ndarray
    neighbors: tuple
    leaks: tuple
    num_voting: int
    predicted: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class DiagnosticsFlags(Flags):
    """What is compared, and from where on two images are alike."""

    duplicate_similarity: float = flag(
        0.95, "Similarity from which two images count as near duplicates",
        above=0, at_most=1,
    )  # fmt: skip
    k: tuple[int, ...] = flag(
        (10, 20, 100, 200), "Neighbors that vote: the most", at_least=1
    )
    knn_temperature: float = flag(0.1, "Votes count exp(similarity / this)", above=0)


def evaluate_diagnostics(config, flags):
    """Figures of embeddings and data, and WORKDIR/evaluation/report/ (see above).

    Labels are needed by kNN's accuracy and confusions alone, images to classify by
    these and by the leaks.

    Returns a list of dicts with the keys measure, value and over.
    Raises ValueError where a checkpoint is missing.
    """
    source = data.build_source_of_rows(config)
    eval_source = data.build_eval_source(config)
    if eval_source is not None:
        try:
            eval_source = with_classes_of(source, eval_source)
        except UserError as error:  # All but two of the figures need no classes.
            print(f"{error} Accuracy and confusions are left out.")
            eval_source = without_classes(eval_source)
    run = embed_run(config, source, eval_source, NUM_VIEWED, num_views=2)
    vectors = run.train["refreshed embeddings"]
    training, held_out = analyze_training(vectors), None
    if eval_source is not None:
        queries = run.held_out["refreshed embeddings"]
        held_out = analyze_held_out(flags, source, eval_source, vectors, queries)
    views = np.split(run.views["refreshed embeddings"], 2)
    rows = measure(config, flags, training, views, held_out, eval_source)
    directory = os.path.join(config.workdir, "evaluation", "report")
    with in_turn(os.path.dirname(directory)):  # Another one may write its own.
        partial = f"{directory}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        os.makedirs(f"{partial}/projector")
        pairs = {"near_duplicates.csv": (training.near_duplicates, source)}
        if held_out is not None:
            pairs["leaks.csv"] = held_out.leaks, eval_source
        for name, (found, first_source) in pairs.items():
            found = pairs_at_least(flags.duplicate_similarity, *found)
            write_pairs(f"{partial}/{name}", found, first_source.paths, source.paths)
        _write_projector(config, source, vectors, f"{partial}/projector")
        with open(f"{partial}/report.html", "w", encoding="utf-8") as file:
            file.write(
                make_page(config, flags, source, eval_source, rows, training, held_out)
            )
        shutil.rmtree(directory, ignore_errors=True)
        os.rename(partial, directory)
    print(f"Report: {directory}/report.html")
    return rows


def analyze_training(vectors):
    """`Training` of embeddings float32 [num_instances, dim]."""
    search = NeighborSearch(vectors, min(NUM_NEIGHBORS, len(vectors) - 1))
    similarities, neighbors = search.of_all()
    return Training(
        vectors=vectors,
        neighbors=(similarities, neighbors),
        occurrences=k_occurrences(neighbors, len(vectors)),
        near_duplicates=without_mirrored(*similar_pairs(similarities, neighbors)),
        how=search.how,
        outliers=true_outliers(search, similarities, NUM_SHOWN),
        diverse=diverse_subset(vectors, NUM_SHOWN)[0],
    )


def analyze_held_out(flags, source, eval_source, vectors, queries):
    """`HeldOut` of the embeddings of eval_source, `queries`, and of source."""
    num_voting = min(max(flags.k), len(vectors))
    k = min(NUM_NEIGHBORS, len(vectors))
    similarities, neighbors = nearest(queries, vectors, max(k, num_voting))
    predicted = None
    if has_labels(source) and has_labels(eval_source):
        voting = similarities[:, :num_voting], neighbors[:, :num_voting]
        predicted = vote(*voting, source.labels, flags.knn_temperature)
    return HeldOut(
        vectors=queries,
        neighbors=(similarities, neighbors),
        leaks=similar_pairs(similarities[:, :k], neighbors[:, :k]),
        num_voting=num_voting,
        predicted=predicted,
    )


def measure(config, flags, training, views, held_out, eval_source):
    """The rows of the table. views: embeddings of two views of the same images."""
    rows = []

    def add(name, value, over):
        rows.append({"measure": name, "value": value, "over": over})

    images = f"{len(training.vectors):,} training images"
    k = training.neighbors[1].shape[1]
    nearest_of = f"{k} nearest of {images}"
    alike = f"at a similarity of {flags.duplicate_similarity} or more"
    over = f"two views each of {len(views[0]):,} training images"
    add("alignment", alignment(*views), over)
    over = f"{NUM_PAIRS:,} pairs of training images"
    add("uniformity", uniformity(training.vectors, seed=config.seed), over)
    add("hubness", hubness(training.occurrences), f"{nearest_of}, {training.how}")
    over = f"part of {images} that is among the {k} nearest of none"
    add("antihubs", float((training.occurrences == 0).mean()), over)
    is_pair = training.near_duplicates[2] >= flags.duplicate_similarity
    add("near-duplicate pairs", int(is_pair.sum()), f"{nearest_of}, {alike}")
    if held_out is not None:
        images = f"{len(held_out.vectors):,} images to classify"
        queries, _, similarities = held_out.leaks
        leaking = np.unique(queries[similarities >= flags.duplicate_similarity])
        add("possible leaks", len(leaking), f"{images}, {alike} to one of training")
        if held_out.predicted is not None:
            top1 = float((held_out.predicted == eval_source.labels).mean())
            setting = f"k = {held_out.num_voting}, T = {flags.knn_temperature}"
            add("kNN top-1", top1, f"{images}, {setting}")
    return rows


def _write_projector(config, source, vectors, directory):
    shown = sample_images(len(vectors), NUM_PROJECTED, config.seed)
    _, thumbnails = read_thumbnails(config, source, shown, thumbnail_side(len(shown)))
    metadata = {"index": shown}
    if source.labels is not None:
        metadata["class"] = [class_name(source, source.labels[i]) for i in shown]
    if source.paths is not None:
        metadata["path"] = [source.paths[i] for i in shown]
    write_projector(directory, vectors[shown], metadata, thumbnails)


PROTOCOL = Protocol("diagnostics", evaluate_diagnostics, DiagnosticsFlags)
