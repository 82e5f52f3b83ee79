"""Top-1 and top-5 of scores, and of networks over a data set."""

import numpy as np
import tensorflow as tf

from npid_tf.evaluation.accuracy import count_hits, network_accuracy


def test_top_k_counts_the_rank_and_of_equals_the_lower_class_leads():
    scores = np.array([[3.0, 2, 1], [1, 1, 1], [1, 1, 1], [0, 1, 2]])
    labels = np.array([1, 0, 2, 0])
    assert count_hits(scores, labels, (1, 2, 3)).tolist() == [1, 2, 4]


def test_every_image_counts_once_for_each_head():
    """300 images: the second batch of 256 is filled up with the first images."""
    labels = np.random.default_rng(0).integers(0, 3, 300)
    one_hot = np.eye(3, dtype=np.float32)[labels]
    dataset = tf.data.Dataset.from_tensor_slices((one_hot, np.arange(300))).batch(100)

    def network(scores, training):
        # The first head is right; the second puts the class last but one.
        return scores, tf.roll(scores, 1, axis=1) * [1, 1, 0.5] + scores * 0.1

    right, wrong = network_accuracy(network, dataset, labels, (1, 2, 3))
    assert right.tolist() == [1, 1, 1]
    assert wrong.tolist() == [0, 1, 1]
