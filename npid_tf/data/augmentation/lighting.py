"""AlexNet's change of lighting (Krizhevsky et al. 2012)."""

import numpy as np
import tensorflow as tf

NUM_DRAWS = 3
DEVIATION = 0.1
# Of the colours of ImageNet's pixels in 0..1, as Torch's code has them.
EIGENVALUES = np.float32([0.2175, 0.0188, 0.0045])
EIGENVECTORS = np.float32(
    [
        [-0.5675, 0.7192, 0.4009],
        [-0.5808, -0.0045, -0.8140],
        [-0.5836, -0.6948, 0.4203],
    ]
)


def random_lighting(planes, draws):
    """Adds to each image one colour, normal along the principal axes of ImageNet's.

    planes: float32 [batch, 3, height, width], 0..255, and so what is returned; draws:
    float32 [batch, NUM_DRAWS], uniform in [0, 1).
    """
    normal = tf.math.ndtri(tf.maximum(draws, 2.0**-25))  # That of 0 is infinite.
    colors = tf.matmul(DEVIATION * normal * EIGENVALUES, EIGENVECTORS.T)  # [batch, 3]
    return tf.clip_by_value(planes + 255 * colors[:, :, None, None], 0.0, 255.0)
