"""TensorFlow Serving's toy model, half plus two, as a SavedModel to serve."""

import tensorflow as tf

from npid_tf.saved_models.saved_model import save_model


class HalfPlus(tf.Module):
    """The example of TensorFlow Serving's documentation, and one of several inputs."""

    def __init__(self, number):
        super().__init__()
        self.number = tf.Variable(number)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def predict(self, x):
        return {"y": x / 2 + self.number}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="tag"),
            tf.TensorSpec([None, 5], tf.int32, name="signal"),
            tf.TensorSpec([None, 2, 2], tf.int64, name="sensor"),
        ]
    )
    def sum_up(self, tag, signal, sensor):
        return {
            "tag": tag,
            "copy_bytes": tag,
            "signal": tf.reduce_sum(signal, axis=1),
            "sensor": sensor,
        }


def save_half_plus(directory, number):
    """Writes half-plus-NUMBER as a version."""
    module = HalfPlus(number)
    signatures = {"serving_default": module.predict, "sum_up": module.sum_up}
    save_model(module, signatures, str(directory), {"encoder_hash": "half"})
