"""The first rows of a bank from a pass of the untrained encoder."""

import numpy as np

from npid_tf.evaluation.embed import embed


def initialize_by_forward_pass(bank, encoder, dataset):
    """Row i becomes the untrained encoder's embedding of image i.

    One pass with batch norm in training mode, so that embeddings differ from image to
    image before anything is learned (Liu et al. 2021, "raw feature initialization").

    Args:
        bank: MemoryBank.
        encoder: model from images to embeddings.
        dataset: of (images, indices), every index once.

    Raises:
        ValueError: where an index is missing.
    """
    vectors = embed(encoder, dataset, bank.num_instances, training=True)
    missing = np.isnan(vectors[:, 0])
    if missing.any():
        raise ValueError(
            "`dataset` must hold every index once. Missing: "
            f"{int(missing.sum())} of {bank.num_instances}."
        )
    bank.assign(vectors)
