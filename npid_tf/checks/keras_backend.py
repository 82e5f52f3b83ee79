"""Keras must be on TensorFlow, whose operations, data sets and strategies we use."""

import keras


def check_backend():
    """Raises ImportError where Keras is on another backend."""
    if not is_tensorflow():
        raise ImportError(
            "npid_tf needs Keras on TensorFlow. Received: the Keras backend "
            f"{keras.backend.backend()!r}. Set KERAS_BACKEND=tensorflow."
        )


def is_tensorflow():
    return keras.backend.backend() == "tensorflow"
