"""Batch normalization by TensorFlow's fused op."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("npid_tf")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's layer, with the fused op on feature maps.

    Keras composes the normalization from single operations; the fused op takes a third
    off the whole training step of ResNet-18 on a CPU. Like PyTorch's, its running
    variance is the unbiased one. Synchronized over replicas, it is Keras's own.
    """

    def call(self, inputs, training=None, mask=None):
        if self.synchronized or len(inputs.shape) != 4:
            return super().call(inputs, training=training, mask=mask)
        is_training = bool(training) and self.trainable
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.cast(self.gamma, tf.float32),
            offset=tf.cast(self.beta, tf.float32),
            # Training takes them from the batch: the op wants empty ones then.
            mean=[] if is_training else tf.cast(self.moving_mean, tf.float32),
            variance=[] if is_training else tf.cast(self.moving_variance, tf.float32),
            epsilon=self.epsilon,
            is_training=is_training,
        )
        if is_training:
            for moving, batch in (
                (self.moving_mean, mean),
                (self.moving_variance, variance),
            ):
                moving.assign(self.momentum * moving + (1 - self.momentum) * batch)
        return outputs
