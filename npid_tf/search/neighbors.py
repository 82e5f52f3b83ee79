"""What every index answers: the neighbors of some queries."""

from typing import NamedTuple

import numpy as np


class Neighbors(NamedTuple):
    """The most similar items of each query, the most similar first.

    Attributes:
        ids: a list of ids for each query, at most k: all if there are fewer items.
            One in Milvus that is not exact may find fewer for one query than for
            another.
        similarities: float32 [num_queries, the length of the longest list], dot
            products; NaN beyond the end of a shorter list.
        exact: whether every item was compared; if not, some may be missed, as the
            recall in the index's manifest tells.
    """

    ids: list[list[str]]
    similarities: np.ndarray
    exact: bool
