"""Label-free metrics of a run, and a warning if the rows collapse."""

import keras
import numpy as np

from npid_tf.encoders.embed import embed
from npid_tf.evaluation.alignment import alignment, uniformity

SAMPLE = 256  # images, and about as many rows
COLLAPSED = -0.5  # Rows all over the sphere have a uniformity below -3.


class Health(keras.callbacks.Callback):
    """Adds to the logs how a sample of images compares with the rows of the bank.

    `alignment`: mean squared distance of an image's embedding from its own row, 0..4.
    `uniformity`: log mean exp(-2 d^2) of the distances d between rows; 0 if all are
    equal, about -3.9 if they cover the sphere (Wang and Isola 2020).
    `positive_rank`: the mean rank of an image's own row among all rows, 1 at best.
    Prints a warning if the rows have collapsed to one direction. The age of rows is not
    logged: each is visited once an epoch, so it is half an epoch on average.

    Args:
        dataset: of (images, indices) of the training images without augmentation, in
            order; its first 256 are used.
    """

    def __init__(self, dataset):
        super().__init__()
        self.dataset = dataset.unbatch().take(SAMPLE).batch(SAMPLE)

    def on_epoch_end(self, epoch, logs=None):
        bank = self.model.bank
        size = min(SAMPLE, bank.num_instances)
        embeddings = embed(self.model.encoder, self.dataset, size)
        own = bank.read(0, size)
        similarities = (embeddings * own).sum(axis=1)
        # Rounding must not make an image's own row rank above itself.
        thresholds = similarities[:, None] + 1e-5
        above, rows = np.zeros(size), []
        stride = -(-bank.num_instances // SAMPLE)
        for block in bank.blocks():
            above += (embeddings @ block.T > thresholds).sum(axis=1)
            rows.append(block[::stride])
        logs["alignment"] = alignment(embeddings, own)
        logs["uniformity"] = uniformity(np.concatenate(rows))
        logs["positive_rank"] = float(1 + above.mean())
        if logs["uniformity"] > COLLAPSED:
            print(
                f"Warning: the rows of the bank have collapsed (uniformity "
                f"{logs['uniformity']:.2f}; rows all over the sphere have less than "
                "-3): all images look alike to the encoder. Try --head_batch_norm, or "
                "a lower --learning_rate.",
                flush=True,
            )
