"""Random colour changes of batches: jitter and grey."""

import math

import tensorflow as tf

LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, as in PIL and torchvision


def random_gray(images, draws, probability):
    """Each image in grey with `probability`.

    images: float32 [batch, height, width, 3], 0..1; draws: float32 [batch, 1].
    """
    chosen = draws[:, :, None, None] < probability
    return tf.where(chosen, _luma(images), images)


def random_jitter(images, draws, strengths, probability, change_hue_and_saturation):
    """Brightness, contrast, saturation and hue, each changed at random, in this order.

    With strengths (b, c, s, h) the factors of the first three are uniform in
    [1 - b, 1 + b], ..., and the hue turns by a part of the circle uniform in [-h, h],
    as torchvision's ColorJitter documents; torchvision also shuffles the order of the
    four and clips after each, here the values are clipped once, at the end.

    Args:
        images: float32 [batch, height, width, 3], 0..1.
        draws: float32 [batch, 5], uniform in [0, 1).
        strengths: (brightness, contrast, saturation, hue).
        probability: that an image is changed at all.
        change_hue_and_saturation: `hsv` or `yiq` of this module.
    """
    strengths = tf.constant(strengths)
    signed = (2 * draws[:, :4] - 1) * strengths
    brightness, contrast, saturation = tf.unstack(1 + signed[:, :3], axis=1)
    bright = images * brightness[:, None, None, None]
    mean_luma = tf.reduce_mean(_luma(bright), axis=[1, 2, 3], keepdims=True)
    contrast = contrast[:, None, None, None]
    jittered = contrast * bright + (1 - contrast) * mean_luma
    jittered = change_hue_and_saturation(jittered, signed[:, 3], saturation)
    jittered = tf.clip_by_value(jittered, 0.0, 1.0)
    return tf.where(draws[:, 4, None, None, None] < probability, jittered, images)


def hsv(images, hue, saturation):
    """Saturation as a blend with grey, then hue turned in HSV space (torchvision's).

    images: float32 [batch, height, width, 3]; hue: parts of the circle [batch];
    saturation: factors [batch].
    """
    luma = _luma(images)
    blended = luma + saturation[:, None, None, None] * (images - luma)
    in_hsv = tf.image.rgb_to_hsv(tf.clip_by_value(blended, 0.0, 1.0))
    turned = tf.math.floormod(in_hsv[..., 0] + hue[:, None, None], 1.0)
    return tf.image.hsv_to_rgb(
        tf.stack([turned, in_hsv[..., 1], in_hsv[..., 2]], axis=-1)
    )


def yiq(images, hue, saturation):
    """Saturation and hue as one linear map in YIQ space, by TensorFlow Addons.

    Shapes as in `hsv`; 3.5 times faster there and close to it for small turns.
    Raises ImportError, naming the extra, where Addons is missing.
    """
    adjust_hsv_in_yiq = addons().image.adjust_hsv_in_yiq

    def matrix(hue_and_saturation):
        # The map is linear, so its image of the unit colours is its matrix.
        turn, scale = tf.unstack(hue_and_saturation)
        return adjust_hsv_in_yiq(tf.eye(3)[None], 2 * math.pi * turn, scale, 1.0)[0]

    parameters = tf.stack([hue, saturation], axis=1)
    matrices = tf.vectorized_map(matrix, parameters)  # [batch, 3, 3]
    return tf.einsum("bhwc,bcd->bhwd", images, matrices)


def _luma(images):
    return tf.reduce_sum(images * tf.constant(LUMA), axis=-1, keepdims=True)


def addons():
    """The module tensorflow_addons. Raises ImportError that names the extra."""
    # Imported here: Addons is an extra, and warns of its end of life when imported.
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import tensorflow_addons as tfa
    except ImportError as error:
        raise ImportError(
            "--jitter=yiq needs TensorFlow Addons: pip install 'npid_tf[addons]' "
            "(Python 3.11), or use --jitter=hsv."
        ) from error
    # Its compiled ops do not load beside this TensorFlow; its own TF code does.
    tfa.options.disable_custom_kernel()
    return tfa
