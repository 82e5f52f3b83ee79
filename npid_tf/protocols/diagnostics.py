"""What is good and bad about embeddings and data: figures, files, and a page to read.

Writes WORKDIR/evaluation/report/: report.html, near_duplicates.csv, leaks.csv where
there are images to classify, and projector/ for TensorBoard.
"""

import csv
import dataclasses
import os
import shutil

import numpy as np

from npid_tf import build
from npid_tf.data.source import check_same_classes
from npid_tf.evaluation.alignment import NUM_PAIRS, alignment, uniformity
from npid_tf.evaluation.knn import nearest
from npid_tf.evaluation.neighborhood import (
    hubness,
    k_occurrences,
    nearest_others,
    similar_pairs,
    vote,
    without_mirrored,
)
from npid_tf.evaluation.projector import thumbnail_side, write_projector
from npid_tf.protocols.diagnostics_page import make_page
from npid_tf.protocols.embeddings import embed_run, has_labels, sample_images
from npid_tf.protocols.thumbnails import class_name, read_thumbnails

NUM_NEIGHBORS = 10  # of hubness, pairs and page
NUM_VIEWED = 5_000  # images of which two views are aligned, at most
NUM_PROJECTED = 5_000  # images in TensorBoard's projector, at most


@dataclasses.dataclass(frozen=True)
class Findings:
    """What the page shows.

    Neighbors are (similarities [queries, k], training images [queries, k]). Pairs are
    (images, images, similarities), all neighbors of all, the most similar first.

    rows: the table of measures.
    vectors, held_out_vectors: embeddings of the training images, and of those to
        classify.
    sample: the training images looked at.
    neighbors, held_out_neighbors: of the sample, and of the images to classify.
    occurrences: in how many lists of neighbors each of the sample is.
    near_duplicates, leaks: pairs of training images, and of images to classify with
        training images.
    predicted: the class that kNN gives each image to classify.
    """

    rows: list
    vectors: np.ndarray
    sample: np.ndarray
    neighbors: tuple
    occurrences: np.ndarray
    near_duplicates: tuple
    held_out_vectors: np.ndarray | None
    held_out_neighbors: tuple | None
    leaks: tuple | None
    predicted: np.ndarray | None


def evaluate_diagnostics(config):
    """Figures of embeddings and data, and WORKDIR/evaluation/report/ (see above).

    Labels are needed by kNN's accuracy and confusions alone, images to classify by
    these and by the leaks.

    Returns a list of dicts with the keys measure, value and over.
    Raises ValueError where a checkpoint is missing.
    """
    source = build.build_source(config)
    eval_source = build.build_eval_source(config)
    if eval_source is not None:
        check_same_classes(source, eval_source)
    run = embed_run(config, source, eval_source, NUM_VIEWED, num_views=2)
    findings = find(config, source, eval_source, run)
    directory = os.path.join(config.workdir, "evaluation", "report")
    partial = f"{directory}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    os.makedirs(f"{partial}/projector")
    at_least = config.duplicate_similarity
    _write_pairs(
        f"{partial}/near_duplicates.csv",
        *(findings.near_duplicates, source, source, at_least),
    )
    if eval_source is not None:
        _write_pairs(
            f"{partial}/leaks.csv", *(findings.leaks, eval_source, source, at_least)
        )
    _write_projector(config, source, findings.vectors, f"{partial}/projector")
    with open(f"{partial}/report.html", "w", encoding="utf-8") as file:
        file.write(make_page(config, source, eval_source, findings))
    shutil.rmtree(directory, ignore_errors=True)
    os.rename(partial, directory)
    print(f"Report: {directory}/report.html")
    return findings.rows


def find(config, source, eval_source, run):
    """The `Findings` of an `EmbeddedRun`; eval_source may be None."""
    vectors = run.train["refreshed embeddings"]
    sample = sample_images(len(vectors), config.max_images, config.seed)
    k = min(NUM_NEIGHBORS, len(sample) - 1)
    similarities, neighbors = nearest_others(vectors[sample], k)
    occurrences = k_occurrences(neighbors, len(sample))
    first, second, alike = without_mirrored(*similar_pairs(similarities, neighbors))
    images = f"{len(sample):,} training images"
    threshold = f"at a similarity of {config.duplicate_similarity} or more"
    views = np.split(run.views["refreshed embeddings"], 2)
    measures = [
        (
            "alignment",
            alignment(*views),
            f"two views each of {len(run.viewed):,} training images",
        ),
        (
            "uniformity",
            uniformity(vectors, seed=config.seed),
            f"{NUM_PAIRS:,} pairs of training images",
        ),
        ("hubness", hubness(neighbors, len(sample)), f"{k} nearest of {images}"),
        (
            "antihubs",
            float((occurrences == 0).mean()),
            f"part of {images} that is among the {k} nearest of none",
        ),
        (
            "near-duplicate pairs",
            int((alike >= config.duplicate_similarity).sum()),
            f"{k} nearest of {images}, {threshold}",
        ),
    ]
    held_out, found, leaks, predicted = None, None, None, None
    if eval_source is not None:
        held_out = run.held_out["refreshed embeddings"]
        num_voting = min(max(config.k), len(vectors))
        k = min(NUM_NEIGHBORS, len(vectors))
        found = nearest(held_out, vectors, max(k, num_voting))
        leaks = similar_pairs(*(part[:, :k] for part in found))
        leaking = leaks[0][leaks[2] >= config.duplicate_similarity]
        measures.append(
            (
                "possible leaks",
                len(np.unique(leaking)),
                f"{len(held_out):,} images to classify, {threshold} to one of training",
            )
        )
    if has_labels(source) and has_labels(eval_source):
        voting = (part[:, :num_voting] for part in found)
        predicted = vote(*voting, source.labels, config.knn_temperature)
        measures.append(
            (
                "kNN top-1",
                float((predicted == eval_source.labels).mean()),
                f"{len(held_out):,} images to classify, k = {num_voting}, "
                f"T = {config.knn_temperature}",
            )
        )
    return Findings(
        rows=[
            {"measure": measure, "value": value, "over": over}
            for measure, value, over in measures
        ],
        vectors=vectors,
        sample=sample,
        neighbors=(similarities, sample[neighbors]),
        occurrences=occurrences,
        near_duplicates=(sample[first], sample[second], alike),
        held_out_vectors=held_out,
        held_out_neighbors=found,
        leaks=leaks,
        predicted=predicted,
    )


def _write_pairs(path, pairs, first_source, second_source, at_least):
    """The pairs that are as similar as `at_least`, as lines of a CSV file."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["similarity", "first", "second", "first_path", "second_path"])
        for first, second, similarity in zip(*pairs, strict=True):
            if similarity < at_least:
                break
            paths = [
                "" if source.paths is None else source.paths[index]
                for source, index in ((first_source, first), (second_source, second))
            ]
            writer.writerow([f"{similarity:.6f}", first, second, *paths])


def _write_projector(config, source, vectors, directory):
    shown = sample_images(len(vectors), NUM_PROJECTED, config.seed)
    _, thumbnails = read_thumbnails(config, source, shown, thumbnail_side(len(shown)))
    metadata = {"index": shown}
    if source.labels is not None:
        metadata["class"] = [class_name(source, source.labels[i]) for i in shown]
    if source.paths is not None:
        metadata["path"] = [source.paths[i] for i in shown]
    write_projector(directory, vectors[shown], metadata, thumbnails)
