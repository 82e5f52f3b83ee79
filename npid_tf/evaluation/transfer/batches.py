"""What detection and segmentation train on, with which optimizer, and how."""

import keras
import numpy as np
import tensorflow as tf

from npid_tf.encoders.encoder import MEAN, STANDARD_DEVIATION


def normalized(pixels):
    """What the backbone takes: [..., 3], 0..255 -> float32."""
    return ((pixels / 255 - MEAN) / STANDARD_DEVIATION).astype(np.float32)


def batches(images, make_example, shapes, batch_size, steps, seed):
    """Random batches of `make_example(image, is_flipped)`, half of them flipped.

    images: list; make_example: function to float32 arrays of the `shapes`.
    Returns a tf.data.Dataset of `steps` batches; an image comes once an epoch.
    """

    def examples():
        generator = np.random.default_rng(seed)
        while True:
            for number in generator.permutation(len(images)):
                yield make_example(images[number], generator.random() < 0.5)

    signature = tuple(tf.TensorSpec(shape, tf.float32) for shape in shapes)
    dataset = tf.data.Dataset.from_generator(examples, output_signature=signature)
    return dataset.batch(batch_size).take(steps).prefetch(2)


def build_optimizer(learning_rate, steps):
    """Adam with a cosine schedule after a linear warm-up, its gradients clipped."""
    warmup = max(1, steps // 20)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        max(1, steps - warmup),
        warmup_target=learning_rate,
        warmup_steps=warmup,
    )
    return keras.optimizers.Adam(schedule, global_clipnorm=10.0)


def fit(network, dataset, steps):
    """Trains a compiled network on `steps` of `batches`; returns the last mean loss."""
    history = network.fit(
        dataset,
        steps_per_epoch=steps,
        shuffle=False,  # The data set is shuffled; True only warns of that.
        verbose=0,
    )
    return history.history["loss"][-1]
