"""The first rows of a bank from a pass of the untrained encoder."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from npid_tf import MemoryBank, build_encoder, initialize_by_forward_pass
from npid_tf.distribution.strategies import build_strategy
from npid_tf.encoders.embed import BATCH_SIZE
from npid_tf.errors import UserError


def make_encoder():
    keras.utils.set_random_seed(0)
    images = keras.Input((4, 4, 3))
    backbone = keras.Model(images, keras.layers.Conv2D(6, 3)(images))
    return build_encoder(backbone, embedding_dim=5, batch_norm_before_l2=True)


def data(num_images):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (num_images, 4, 4, 3), np.uint8)
    return images, rng.permutation(num_images)


def test_rows_are_the_embeddings_of_whole_batches_with_their_own_statistics():
    images, order = data(12)
    dataset = tf.data.Dataset.from_tensor_slices((images[order], order)).batch(5)
    bank, encoder = MemoryBank(12, 5), make_encoder()
    initialize_by_forward_pass(bank, encoder, dataset)
    vectors = bank.numpy()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    assert (vectors @ vectors.T - np.eye(12)).max() < 0.999
    # The batch is filled up with the first images again.
    filled = np.tile(images[order], (22, 1, 1, 1))[:BATCH_SIZE]
    expected = encoder(filled, training=True)[:12]
    np.testing.assert_allclose(vectors[order], expected, atol=1e-5)


def test_two_replicas_give_the_rows_of_one():
    images, order = data(300)
    dataset = tf.data.Dataset.from_tensor_slices((images[order], order)).batch(64)
    banks = []
    for name in ("one_device", "mirrored"):
        with build_strategy(name).scope():
            banks.append(MemoryBank(300, 5))
            initialize_by_forward_pass(banks[-1], make_encoder(), dataset)
    one, two = (bank.numpy() for bank in banks)
    np.testing.assert_allclose(two, one, atol=1e-5)


def test_missing_indices_are_counted():
    images = np.zeros((6, 4, 4, 3), np.uint8)
    dataset = tf.data.Dataset.from_tensor_slices((images, [0, 1, 2, 4, 5, 5])).batch(4)
    with pytest.raises(ValueError, match=r"every index once. Missing: 2 of 7"):
        initialize_by_forward_pass(MemoryBank(7, 5), make_encoder(), dataset)


def test_what_is_no_bank_or_data_set_is_refused_in_words():
    with pytest.raises(UserError, match="`bank` must be a MemoryBank"):
        initialize_by_forward_pass(None, make_encoder(), None)
    with pytest.raises(UserError, match=r"`dataset` must be a tf.data.Dataset"):
        initialize_by_forward_pass(MemoryBank(7, 5), make_encoder(), None)
