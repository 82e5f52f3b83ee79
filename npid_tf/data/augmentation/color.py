"""Random colour changes of batches: jitter and grey."""

import math

import numpy as np
import tensorflow as tf

from npid_tf.errors import MissingPackageError

LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, as in PIL and torchvision
GRAY = np.tile(np.float32(LUMA), (3, 1))  # As a matrix on (red, green, blue).
NUM_DRAWS = 6


def random_color(
    planes,
    draws,
    strengths,
    probability,
    gray_probability,
    gray_first,
    hue_and_saturation,
):
    """Each image jittered with `probability`, and grey with `gray_probability`.

    The jitter changes brightness, contrast, saturation and hue, in this order. With
    strengths (b, c, s, h) the factors of the first three are uniform in [1 - b, 1 + b],
    ..., and the hue turns by a part of the circle uniform in [-h, h], as torchvision's
    ColorJitter documents; torchvision also shuffles the order of the four and clips
    after each, here the values are clipped once, before the hue turns.

    All but the turn of the hue is linear, and one matrix.

    Args:
        planes: float32 [batch, 3, height, width], 0..255.
        draws: float32 [batch, NUM_DRAWS], uniform in [0, 1).
        strengths: (brightness, contrast, saturation, hue).
        gray_first: grey before the jitter, else after it.
        hue_and_saturation: `hsv` or `yiq` of this module.

    Returns:
        float32 [batch, 3, height, width], 0..255.
    """
    jittered = (draws[:, 4] < probability)[:, None]
    signed = tf.where(jittered, (2 * draws[:, :4] - 1) * tf.constant(strengths), 0.0)
    brightness, contrast, saturation = tf.unstack(1 + signed[:, :3], axis=1)
    matrix, turn = hue_and_saturation(signed[:, 3], saturation)
    gray = tf.where((draws[:, 5] < gray_probability)[:, None, None], GRAY, tf.eye(3))
    if gray_first:
        matrix = tf.matmul(matrix, gray)
    shape = tf.shape(planes)
    planes = tf.reshape(planes, [-1, 3, math.prod(planes.shape[2:])])
    # Contrast blends with the mean of the luma: an offset that is grey, and stays it.
    mean_luma = tf.linalg.matvec(tf.reduce_mean(planes, axis=2), tf.constant(LUMA))
    offset = brightness * (1 - contrast) * mean_luma
    matrix *= (brightness * contrast)[:, None, None]
    planes = tf.matmul(matrix, planes) + offset[:, None, None]
    planes = tf.clip_by_value(planes, 0.0, 255.0)
    if turn is not None:
        planes = turn_hue(planes, turn)
    if not gray_first:
        planes = tf.matmul(gray, planes)
    return tf.reshape(planes, shape)


def hsv(hue, saturation):
    """Saturation as a blend with grey, the hue left to `turn_hue` (torchvision's).

    hue: parts of the circle [batch]; saturation: factors [batch]. Returns a matrix on
    (red, green, blue), [batch, 3, 3], and what is left to turn the hue by, [batch].
    """
    saturation = saturation[:, None, None]
    return saturation * tf.eye(3) + (1 - saturation) * GRAY, hue


def yiq(hue, saturation):
    """Saturation and hue as one linear map in YIQ space, by TensorFlow Addons.

    As `hsv`, with nothing left to turn (None): faster, and close to it for small turns.
    Raises ImportError, naming the extra, if Addons is missing.
    """
    adjust_hsv_in_yiq = addons().image.adjust_hsv_in_yiq

    def matrix(hue_and_saturation):
        # The map is linear, so its image of the unit colours is its matrix.
        turn, scale = tf.unstack(hue_and_saturation)
        return adjust_hsv_in_yiq(tf.eye(3)[None], 2 * math.pi * turn, scale, 1.0)[0]

    parameters = tf.stack([hue, saturation], axis=1)
    return tf.linalg.matrix_transpose(tf.vectorized_map(matrix, parameters)), None


def turn_hue(planes, turn):
    """Colours with their hue turned in HSV space, value and saturation kept.

    planes: float32 [batch, 3, pixels], red, green and blue; turn: parts of the circle
    [batch]. Exact, from sums, minima and maxima only.
    """
    # Thirds of a turn permute the colours. What is left, at most a sixth, is forwards
    # if it is not, once green and blue are exchanged.
    thirds = tf.round(3 * turn)
    sixth = 6 * turn - 2 * thirds
    order = tf.where((sixth < 0)[:, None], [0, 2, 1], [0, 1, 2])  # [batch, 3]
    red, green, blue = tf.unstack(tf.gather(planes, order, batch_dims=1), axis=1)
    value = tf.maximum(tf.maximum(red, green), blue)
    lowest = tf.minimum(tf.minimum(red, green), blue)
    chroma = value - lowest
    total = red + green + blue
    # On a circle of 6 where red is at 0 and green at 2, red is full up to a distance of
    # 1 and none from 2. The chroma times the distance is value - 2 lowest + total -
    # 2 red; that from a point between red and the opposite of green is the larger of
    # two such terms, less the way from there. So with the other two.
    moved = tf.abs(sixth)[:, None] * chroma
    rise = value + lowest + moved - total
    fall = total + chroma - moved
    red, green, blue = 2 * red, 2 * green, 2 * blue
    turned = [
        tf.clip_by_value(tf.minimum(rise + ahead, fall - behind), lowest, value)
        for ahead, behind in ((red, green), (green, blue), (blue, red))
    ]
    shifted = tf.range(3) - tf.cast(thirds, tf.int32)[:, None]
    order = tf.gather(order, tf.math.floormod(shifted, 3), batch_dims=1)
    return tf.gather(tf.stack(turned, axis=1), order, batch_dims=1)


def addons():
    """The module tensorflow_addons. Raises ImportError that names the extra."""
    # Imported here: Addons is an extra, and warns of its end of life when imported.
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import tensorflow_addons as tfa
    except ImportError as error:
        raise MissingPackageError(
            "--jitter=yiq needs TensorFlow Addons: pip install 'npid_tf[addons]' "
            "(Python 3.11), or use --jitter=hsv."
        ) from error
    # Its compiled ops do not load beside this TensorFlow; its own TF code does.
    tfa.options.disable_custom_kernel()
    return tfa
