"""SavedModels of stock TensorFlow ops, as TF Serving loads them."""

import hashlib
import json
import os

import numpy as np
import tensorflow as tf

from npid_tf.data.decode import decode
from npid_tf.data.preprocess import preprocess_for_eval
from npid_tf.evaluation.knn import class_scores_in_graph

DESCRIPTION = os.path.join("assets.extra", "npid_tf.json")


class Embedder(tf.Module):
    """Images in, embeddings out: the preprocessing and the encoder in one graph."""

    def __init__(self, encoder, image_size, crop_fraction):
        super().__init__()
        self.encoder = encoder
        self.image_size = image_size
        self.crop_fraction = crop_fraction

    @tf.function(
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")]
    )
    def embed_images(self, images):
        """uint8 [batch, height, width, 3] -> {"embeddings": float32 [batch, dim]}."""
        images = preprocess_for_eval(images, self.image_size, self.crop_fraction)
        return {"embeddings": self.encoder(images, training=False)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def embed_bytes(self, image_bytes):
        """Image files, string [batch] -> {"embeddings": float32 [batch, dim]}."""
        return {"embeddings": self._embed_files(image_bytes)}

    def _embed_files(self, image_bytes):
        def load(file):
            return preprocess_for_eval(
                decode(file), self.image_size, self.crop_fraction
            )

        shape = [self.image_size, self.image_size, 3]
        images = tf.map_fn(
            load, image_bytes, fn_output_signature=tf.TensorSpec(shape, tf.uint8)
        )
        return self.encoder(images, training=False)


class NeighborFinder(tf.Module):
    """Image files in, the most similar training images out, by exact search.

    Args:
        embedder: Embedder.
        vectors: float32 [num_instances, dim], a unit vector per training image.
        k: neighbors.
        labels: int64 [num_instances], or None.
        temperature: of the neighbors' votes for their classes.
    """

    def __init__(self, embedder, vectors, k, labels=None, temperature=0.1):
        super().__init__()
        self.embedder = embedder
        self.k = k
        self.temperature = temperature
        # Variables, since a SavedModel's graph holds no more than 2 GB of constants.
        self.vectors = tf.Variable(vectors, trainable=False)
        self.labels = None
        if labels is not None:
            self.labels = tf.Variable(labels, trainable=False)
            self.num_classes = int(labels.max()) + 1

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def find(self, image_bytes):
        """string [batch] -> ids and similarities [batch, k], the most similar first,
        and class_probabilities [batch, num_classes] where there are labels."""
        embeddings = self.embedder._embed_files(image_bytes)
        similarities = tf.matmul(embeddings, self.vectors, transpose_b=True)
        similarities, ids = tf.math.top_k(similarities, self.k)
        found = {"ids": tf.cast(ids, tf.int64), "similarities": similarities}
        if self.labels is not None:
            scores = class_scores_in_graph(
                similarities,
                tf.gather(self.labels, ids),
                self.num_classes,
                self.temperature,
            )
            total = tf.reduce_sum(scores, axis=1, keepdims=True)
            found["class_probabilities"] = scores / total
        return found
