"""How embeddings lie on the sphere: alignment and uniformity (Wang and Isola 2020)."""

import numpy as np

from npid_tf.checks.arguments import whole_number
from npid_tf.checks.vectors_and_labels import check_vectors
from npid_tf.errors import UserError

NUM_PAIRS = 50_000


def alignment(embeddings, positives):
    """How far apart two views of an image are: mean ||f(x) - f(x+)||^2, 0 at best.

    embeddings, positives: float32 [num_pairs, dim], row i of both the same image, unit
    length. Returns a float in 0..4.
    Raises ValueError if the two differ in shape, or are empty.
    """
    embeddings, positives = np.asarray(embeddings), np.asarray(positives)
    if embeddings.shape != positives.shape or not embeddings.size:
        raise UserError(
            "`embeddings` and `positives` must be [num_pairs, dim], one pair or more. "
            f"Received: {list(embeddings.shape)} and {list(positives.shape)}."
        )
    check_vectors(embeddings, "embeddings")
    check_vectors(positives, "positives")
    return float(_squared_distances(embeddings, positives).mean())


def uniformity(embeddings, num_pairs=NUM_PAIRS, seed=0):
    """How evenly the sphere is covered: log mean exp(-2 ||a - b||^2), lower is better.

    The mean is over a sample of pairs of different rows. It is 0 if all rows are
    equal, and about -4 + 8 / dim for many rows drawn evenly from the whole sphere.

    Args:
        embeddings: float32 [num_rows, dim], unit length.
        num_pairs: how many are drawn; memory grows only with them.
        seed: of the sample, which it determines.

    Raises:
        ValueError: for fewer than two rows.
    """
    embeddings = np.asarray(embeddings)
    num_rows = len(embeddings)
    if num_rows < 2:
        raise UserError(f"Uniformity needs two embeddings. Received: {num_rows}.")
    check_vectors(embeddings, "embeddings")
    num_pairs = whole_number("num_pairs", num_pairs, 1)
    random = np.random.default_rng(seed)
    first = random.integers(0, num_rows, num_pairs)
    # Any row but the first one of the pair, each with the same probability.
    second = (first + random.integers(1, num_rows, num_pairs)) % num_rows
    distances = _squared_distances(embeddings[first], embeddings[second])
    return float(np.log(np.exp(-2 * distances).mean()))


def _squared_distances(first, second):
    return np.square(first - second, dtype=np.float64).sum(axis=1)
