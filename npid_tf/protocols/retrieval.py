"""Search judged: does a query find images of its class, and a view its own image?"""

import dataclasses

import numpy as np

from npid_tf.command_line.fields import Flags
from npid_tf.data.sources.source import with_classes_of
from npid_tf.evaluation.retrieval import retrieval_scores
from npid_tf.protocols.embeddings import embed_run, has_labels
from npid_tf.protocols.protocol import Protocol
from npid_tf.runs import data

NUM_VIEWED = 5_000  # training images of which views are searched for, at most
NUM_VIEWS = 4


@dataclasses.dataclass(frozen=True)
class RetrievalFlags(Flags):
    """It has none of its own."""


def evaluate_retrieval(config, flags):
    """Recall@1, @5, @10 and mAP of searches among the training images.

    In the task `same class` the queries are the images to classify, and all training
    images of a query's class should come first; it is left out where labels are
    missing. In the task `same image` the queries are random views of a sample of
    training images, and the image itself should come first.

    Returns a list of dicts with the keys task, feature, queries, rows, recall@1,
    recall@5, recall@10 and mAP.
    Raises ValueError where a checkpoint is missing.
    """
    source = data.build_source_of_rows(config)
    eval_source = data.build_eval_source(config)
    if has_labels(source) and has_labels(eval_source):
        eval_source = with_classes_of(source, eval_source)
    else:
        eval_source = None
        print(
            "Without labels of the training images and of --eval_split or "
            "--eval_dataset, retrieval of the same class is left out."
        )
    run = embed_run(config, source, eval_source, NUM_VIEWED, NUM_VIEWS)
    rows = []
    if eval_source is not None:
        labels = eval_source.labels, source.labels
        rows += _score("same class", run.held_out, run.train, *labels)
    numbers = np.tile(run.viewed, NUM_VIEWS), np.arange(source.num_instances)
    return rows + _score("same image", run.views, run.train, *numbers)


def _score(task, queries, vectors, query_labels, labels):
    return [
        {
            "task": task,
            "feature": feature,
            "queries": len(query_labels),
            "rows": len(labels),
            **retrieval_scores(
                queries[feature], query_labels, vectors[feature], labels
            ),
        }
        for feature in vectors
    ]


PROTOCOL = Protocol("retrieval", evaluate_retrieval, RetrievalFlags)
