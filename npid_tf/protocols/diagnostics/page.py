"""The page of the diagnostics: what each measure means, and the images behind it."""

import numpy as np
from sklearn.metrics import confusion_matrix

from npid_tf.evaluation.confusions import worst_classes
from npid_tf.protocols.diagnostics.thumbnails import Gallery, class_name
from npid_tf.protocols.embeddings import sample_images
from npid_tf.reports.html import (
    image_row,
    page,
    paragraph,
    picture,
    side_by_side,
    table,
)
from npid_tf.reports.plots import draw_confusion, draw_points, tsne

NUM_QUERIES = 12
NUM_NEIGHBORS = 8  # shown of a query
NUM_PAIRS = 12
NUM_HUBS = 8
NUM_WORST = 30  # classes in the table
NUM_DRAWN = 1000  # classes in the picture of confusions
NUM_POINTS = 2000  # of t-SNE

MEANINGS = {
    "alignment": "mean squared distance of two random views of an image: 0 where "
    "they are one point, 2 where they are as far apart as points of the whole sphere",
    "uniformity": "log mean exp(-2 x squared distance): 0 where all images are one "
    "point, near -4 where they cover the whole sphere",
    "hubness": "skewness of how often an image is among the nearest of others: near 0 "
    "where all are so alike often, high where a few images turn up everywhere",
    "antihubs": "images that no search for another image finds",
    "near-duplicate pairs": "images to look at, in near_duplicates.csv: copies are "
    "taught to differ from each other",
    "possible leaks": "images to look at, in leaks.csv: what is trained on makes "
    "accuracies look better than they are",
    "kNN top-1": "images whose neighbors vote for their class",
}
NO_LABELS = (
    "Left out: it needs labels of the training images and of --eval_split or "
    "--eval_dataset."
)


def make_page(config, flags, source, eval_source, rows, training, held_out):
    """The HTML text of the page.

    rows: the measures; training, held_out: of `diagnostics`; eval_source and held_out
    may be None.
    """
    asked, similarities, neighbors = _queries(config, training, held_out)
    duplicates = [part[:NUM_PAIRS] for part in training.near_duplicates]
    hubs = np.argsort(-training.occurrences, kind="stable")[:NUM_HUBS]
    needed = [neighbors, *duplicates[:2], hubs, training.outliers[0], training.diverse]
    if held_out is None:
        train = Gallery(config, source, "training image", [*needed, asked])
        queries, leaks = (
            train,
            [paragraph("Left out: there are no images to classify.")],
        )
    else:
        pairs = [part[:NUM_PAIRS] for part in held_out.leaks]
        train = Gallery(config, source, "training image", [*needed, pairs[1]])
        queries = Gallery(config, eval_source, "image to classify", [asked, pairs[0]])
        leaks = _pairs(flags, held_out.leaks, queries, train, "leaks.csv")
    sections = {
        "Measures": [
            table(
                "Embeddings and data",
                [{**row, "meaning": MEANINGS[row["measure"]]} for row in rows],
            )
        ],
        "Nearest training images": _grid(
            asked, similarities, neighbors, queries, train
        ),
        "Training images most alike": _pairs(
            flags, training.near_duplicates, train, train, "near_duplicates.csv"
        ),
        "Images to classify most like a training image": leaks,
        "Hubs": [
            image_row(
                "Training images that are among the nearest of the most others",
                [
                    train.figure(
                        hub,
                        f"nearest of {training.occurrences[hub]}:",
                    )
                    for hub in hubs
                ],
            )
        ],
        "Outliers": [
            image_row(
                "Training images least like their nearest others",
                [
                    train.figure(image, f"{similarity:.3f}:")
                    for image, similarity in zip(*training.outliers, strict=True)
                ],
            )
        ],
        "A diverse subset": [
            image_row(
                "Training images, each as far as can be from those before it",
                [train.figure(image) for image in training.diverse],
            )
        ],
        "Classes": [paragraph(NO_LABELS)],
        "Map": _map(config, source, eval_source, training, held_out),
        "Files beside this page": [
            paragraph(
                "near_duplicates.csv and leaks.csv list what is shown above in part. "
                "`tensorboard --logdir=projector` turns a sample of the training "
                "images in space. `npid evaluate --protocol=curation` lists more: "
                "groups of copies, outliers and a diverse subset."
            )
        ],
    }
    if held_out is not None and held_out.predicted is not None:
        sections["Classes"] = _classes(eval_source, held_out.predicted)
    return page(
        f"Diagnostics of {config.workdir}",
        f"{source.num_instances:,} training images of {config.dataset}, embedded in "
        f"{training.vectors.shape[1]} dimensions by {config.backbone}.",
        sections,
    )


def _queries(config, training, held_out):
    """Seeded queries and their neighbors: of the images to classify, if there are."""
    similarities, neighbors = (held_out or training).neighbors
    asked = sample_images(len(neighbors), NUM_QUERIES, config.seed)
    some = asked, slice(NUM_NEIGHBORS)
    return asked, similarities[some], neighbors[some]


def _grid(asked, similarities, neighbors, queries, train):
    rows = []
    for query, values, found in zip(asked, similarities, neighbors, strict=True):
        label = queries.label(query)
        figures = [queries.figure(query, "query:", "query")]
        for value, index in zip(values, found, strict=True):
            kind = ""
            if None not in (label, train.label(index)):
                kind = "right" if train.label(index) == label else "wrong"
            figures.append(train.figure(index, f"{kind} {value:.3f}".strip(), kind))
        rows.append(image_row(f"Neighbors of {figures[0][2]}", figures))
    return [
        paragraph(
            "Each row: a random query, then the training images most similar to it, "
            "with their similarity. Of the query's class is right (a solid green "
            "frame), of another one is wrong (a dashed red frame)."
        ),
        *rows,
    ]


def _pairs(flags, pairs, first, second, name):
    """The first of all pairs, and how many the file `name` lists."""
    count = np.count_nonzero(pairs[2] >= flags.duplicate_similarity)
    shown = [part[:NUM_PAIRS] for part in pairs]
    rows = [
        image_row(
            f"Pair {number}, similarity {similarity:.4f}",
            [first.figure(one, f"{similarity:.4f}:"), second.figure(other)],
        )
        for number, (one, other, similarity) in enumerate(
            zip(*shown, strict=True), start=1
        )
    ]
    told = (
        f"The {len(rows)} most alike. {name} lists all {count:,} of a similarity of "
        f"{flags.duplicate_similarity} or more."
    )
    return [paragraph(told), side_by_side(rows)]


def _classes(eval_source, predicted):
    labels = eval_source.labels
    worst = [
        {
            "class": class_name(eval_source, label),
            "images": images,
            "recognized": recall,
            "most often taken for": ""
            if other is None
            else f"{class_name(eval_source, other)} ({times})",
        }
        for label, images, recall, other, times in worst_classes(
            labels, predicted, NUM_WORST
        )
    ]
    pieces = [table("Classes that kNN recognizes least", worst)]
    present = np.union1d(labels, predicted)
    if len(present) > NUM_DRAWN:
        return [*pieces, paragraph(f"More than {NUM_DRAWN} classes are not drawn.")]
    names = [class_name(eval_source, label) for label in present]
    drawn = draw_confusion(confusion_matrix(labels, predicted, labels=present), names)
    alt = "Confusion matrix of kNN: true classes in rows, predicted ones in columns. "
    return [*pieces, picture(drawn, f"{alt}The table has its most frequent errors.")]


def _map(config, source, eval_source, training, held_out):
    """t-SNE of the images to classify, or of training images where there are none."""
    vectors = (held_out or training).vectors
    shown = source if held_out is None else eval_source
    some = sample_images(len(vectors), NUM_POINTS, config.seed)
    if len(some) < 4:
        return [paragraph("Left out: it needs four images.")]
    labels = None if shown.labels is None else shown.labels[some]
    drawn = draw_points(tsne(vectors[some], config.seed), labels, shown.class_names)
    what = "training images" if shown is source else "images to classify"
    return [
        picture(
            drawn,
            f"t-SNE of the embeddings of {len(some):,} {what}: a point each, near "
            "each other where embeddings are alike, colored by class where there "
            "are labels.",
        )
    ]
