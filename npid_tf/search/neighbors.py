"""What every index answers: the neighbors of some queries."""

from typing import NamedTuple

import numpy as np


class Neighbors(NamedTuple):
    """The most similar items of each query, the most similar first.

    Attributes:
        ids: a list of ids for each query, each of min(k, items).
        similarities: float32 [num_queries, min(k, items)], dot products.
        exact: whether every item was compared; if not, some may be missed, as the
            recall in the index's manifest tells.
    """

    ids: list[list[str]]
    similarities: np.ndarray
    exact: bool
