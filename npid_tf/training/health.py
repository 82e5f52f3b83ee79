"""Whether a run learns: a line of numbers for every epoch, and an alarm."""

import keras
import numpy as np

from npid_tf.encoders.embed import embed
from npid_tf.evaluation.alignment import alignment, uniformity

SAMPLE = 256  # images, and about as many rows
COLLAPSED = -0.5  # Rows all over the sphere have a uniformity below -3.


class Health(keras.callbacks.Callback):
    """Adds to the logs how a sample of the images lies among the rows of the bank.

    `alignment`: mean squared distance of an image's embedding from its own row, 0..4.
    `uniformity`: log mean exp(-2 d^2) of the distances d between rows; 0 where all are
    equal, about -3.9 where they cover the sphere (Wang and Isola 2020).
    `positive_rank`: the mean place of an image's own row among all rows, 1 at best.
    Prints a warning where the rows have collapsed to one direction. How old rows are
    is no news: each is visited once an epoch, so at its end their mean age is half one.

    Args:
        dataset: of (images, indices) of the training images as they are, in order; its
            first 256 are looked at.
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
        # Their own row's score, too, is rounded: it must not count as above itself.
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
