"""Batch normalization by TensorFlow's fused op, and over all replicas."""

import keras
import tensorflow as tf

from npid_tf.checks import batch_checks
from npid_tf.distribution import replicas


@keras.saving.register_keras_serializable("npid_tf")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's layer, with the fused op on feature maps and on vectors.

    Keras composes the normalization from single operations; the fused op takes a third
    off the whole training step of ResNet-18 on a CPU. Like PyTorch's, its running
    variance is the unbiased one. If it is `synchronized`, the statistics are those
    of the batches of all replicas together, which may differ in size.
    """

    def call(self, inputs, training=None, mask=None):
        if len(inputs.shape) not in (2, 4):
            return super().call(inputs, training=training, mask=mask)
        is_training = bool(training) and self.trainable
        if is_training and all(size == 1 for size in inputs.shape[1:-1]):
            inputs = self._of_several(inputs)
        if is_training and self.synchronized and replicas.num_replicas() > 1:
            outputs, mean, variance = self._over_replicas(inputs)
        else:
            outputs, mean, variance = self._fused(inputs, is_training)
        if is_training:
            for moving, batch in (
                (self.moving_mean, mean),
                (self.moving_variance, variance),
            ):
                moving.assign(self.momentum * moving + (1 - self.momentum) * batch)
        return outputs

    def _of_several(self, inputs):
        """Vectors [batch, ..., channels], checked to be more than one: of a single one,
        the normalized values are all zeros. Under XLA, which drops assertions, NaN."""
        if self.synchronized and replicas.num_replicas() > 1:
            return inputs  # NPID ensures that each of them has an image.
        count = tf.shape(inputs)[0]
        said = (
            f"`{self.name}` normalizes over a batch, which must hold two images or "
            "more in training. Received: 1. Use larger batches, and drop a last one "
            "of a single image."
        )
        inputs = batch_checks.asserted(count > 1, inputs, said)
        return tf.where(count > 1, inputs, float("nan"))

    def _fused(self, inputs, is_training):
        are_vectors = len(inputs.shape) == 2
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs[:, None, None, :] if are_vectors else inputs,
            scale=tf.cast(self.gamma, tf.float32),
            offset=tf.cast(self.beta, tf.float32),
            # Training takes them from the batch: the op wants empty ones then.
            mean=[] if is_training else tf.cast(self.moving_mean, tf.float32),
            variance=[] if is_training else tf.cast(self.moving_variance, tf.float32),
            epsilon=self.epsilon,
            is_training=is_training,
        )
        return outputs[:, 0, 0] if are_vectors else outputs, mean, variance

    def _over_replicas(self, inputs):
        x = tf.cast(inputs, tf.float32)
        axes = list(range(len(x.shape) - 1))
        mean, variance = tf.nn.moments(x, axes)  # of this replica, [channels]
        count = tf.cast(tf.size(x) // x.shape[-1], tf.float32)
        # One message: all replicas' counts, means and sums of squared deviations.
        own = tf.concat([count[None], mean, count * variance], axis=0)
        counts, means, squares = tf.split(
            replicas.all_gather(own[None]), [1, x.shape[-1], x.shape[-1]], axis=1
        )  # [replicas, 1 or channels]
        count = tf.reduce_sum(counts)
        mean = tf.reduce_sum(counts * means, axis=0) / count
        squares = tf.reduce_sum(squares + counts * tf.square(means - mean), axis=0)
        outputs = tf.nn.batch_normalization(
            x, mean, squares / count, self.beta, self.gamma, self.epsilon
        )
        return tf.cast(outputs, inputs.dtype), mean, squares / (count - 1)
