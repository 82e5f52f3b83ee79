"""Where the rows of all images are kept, and how they move.

`Rows` is storage, replicated or sharded. A bank owns some and moves them: `MemoryBank`
by averages of embeddings, `LearnedRows` and `RecentRows` by SGD. Losses and checkpoints
see `Rows`. To add a bank: a file here, with the methods of `MemoryBank`, and its name
in `keras_calls/parts.py`. To add a placement: a class and a line in `placement.py`.
"""

from npid_tf.banks.learned_rows import LearnedRows
from npid_tf.banks.recent_rows import RecentRows
from npid_tf.errors import UserError


def build_rows(
    num_instances: int,
    embedding_dim: int,
    num_recent: int | None,
    *,
    batch_size: int,
    num_neighbors: int,
    **arguments,
) -> LearnedRows | RecentRows:
    """`RecentRows`, or `LearnedRows` where num_recent is None.

    Args:
        batch_size: images of a step, over all replicas.
        num_neighbors: for label smoothing, else 0.
        arguments: of either.

    Raises:
        UserError: where recent rows cannot be had, in the words of the flags.
    """
    if num_recent is None:
        return LearnedRows(
            num_instances, embedding_dim, num_neighbors=num_neighbors, **arguments
        )
    if num_neighbors:
        raise UserError(
            "`recent_negatives` and `label_smoothing` do not go together: a row's "
            "neighbors may not be among the recent ones. Set one of them alone."
        )
    if not batch_size <= num_recent <= num_instances:
        raise UserError(
            "`recent_negatives` must be at least `batch_size` and at most the number "
            f"of images. Received: recent_negatives={num_recent}, "
            f"batch_size={batch_size}, {num_instances} images."
        )
    return RecentRows(num_instances, embedding_dim, num_recent, **arguments)
