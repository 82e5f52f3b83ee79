"""The random views of training images, each determined by (seed, epoch, index).

Ours, and not Keras's layers, which draw from a state: a run that is resumed anywhere
goes on with the views it would have had. To add one: write a function of (planes,
draws), and name its recipe in `AUGMENTATIONS`. Planes are the colours of a batch
one by one, [batch, 3, height, width], which TensorFlow's CPU operations are fastest on.
"""

import dataclasses
import functools
from collections.abc import Callable

import tensorflow as tf
from numpy.typing import ArrayLike

from npid_tf.checks.arguments import one_of
from npid_tf.data.augmentation import color
from npid_tf.data.augmentation.affine import random_affine
from npid_tf.data.augmentation.blur import random_blur
from npid_tf.data.augmentation.crop import NUM_DRAWS as CROP_DRAWS
from npid_tf.data.augmentation.crop import crop_and_resize, random_box, sides
from npid_tf.data.augmentation.draws import uniform_draws
from npid_tf.data.augmentation.lighting import NUM_DRAWS as LIGHTING_DRAWS
from npid_tf.data.augmentation.lighting import random_lighting
from npid_tf.data.preprocess import preprocess_for_eval

HUE_AND_SATURATION = {"hsv": color.hsv, "yiq": color.yiq}


@dataclasses.dataclass(frozen=True)
class Step:
    """A change of a batch, `function(planes, draws)`; see `Recipe.__call__`."""

    function: Callable
    num_draws: int


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A random resized crop (None: the central square), then the steps.

    crop_scale: the least and largest part of the image's area that a crop keeps.
    """

    crop_scale: tuple[float, float] | None
    steps: tuple[Step, ...]

    @property
    def num_draws(self) -> int:
        """Uniform numbers that an image takes, those of the crop first."""
        return CROP_DRAWS + sum(step.num_draws for step in self.steps)

    def draws(self, seed: int, epoch: int, indices: ArrayLike) -> tf.Tensor:
        """The draws of many images, float32 [..., num_draws].

        seed, epoch: integers; indices: [...], the number of each image.
        """
        return uniform_draws(seed, epoch, indices, self.num_draws)

    def views(
        self,
        images: ArrayLike,
        draws: tf.Tensor,
        image_size: int,
        crop_fraction: float = 1.0,
    ) -> tf.Tensor:
        """One view of each image, uint8 [batch, image_size, image_size, 3].

        images: uint8 [batch, height, width, 3]; draws: float32 [batch, num_draws].
        crop_fraction: of the central square, see `preprocess_for_eval`.
        """
        if self.crop_scale is None:
            squares = preprocess_for_eval(images, image_size, crop_fraction)
            planes = tf.transpose(tf.cast(squares, tf.float32), [0, 3, 1, 2])
        else:
            height, width = sides(images)
            boxes = random_box(draws[:, :CROP_DRAWS], height, width, self.crop_scale)
            planes = crop_and_resize(images, boxes, image_size)
        return self(planes, draws)

    def __call__(self, planes, draws):
        """Applies the steps.

        planes: float32 [batch, 3, size, size], 0..255; draws: float32 [batch,
        num_draws]. Returns uint8 [batch, size, size, 3].
        """
        used = CROP_DRAWS
        for step in self.steps:
            planes = step.function(planes, draws[:, used : used + step.num_draws])
            used += step.num_draws
        # Rounds. Every step stays in 0..255 but for the last bits of float32.
        return tf.cast(tf.transpose(planes, [0, 2, 3, 1]) + 0.5, tf.uint8)


def build_augmentation(name: str, *, jitter: str = "hsv") -> Recipe:
    """The `Recipe` called `name`: views of images as a function of random draws.

    npid: Wu et al.'s for ImageNet; npid_cifar: their code's for CIFAR (jitter before
    grey, no flip); moco_v2: Chen et al. 2020; moco_v2_cifar: that without the blur, as
    SimCLR has it for CIFAR; affine: small rotations, shifts and zooms; crop_flip and
    crop_flip_color: of labelled images, see `npid_tf.protocols.linear_heads`; none:
    central square. See `npid_tf.Augmentation` for a Keras layer of it.

    Args:
        name: one of these.
        jitter: hsv or yiq (needs TensorFlow Addons), how hue is turned.

    Returns:
        `Recipe`: `draws(seed, epoch, indices)` gives float32 [num_images, num_draws],
        and `views(images, draws, image_size)`, of uint8 [num_images, height, width, 3],
        uint8 [num_images, image_size, image_size, 3].

    Raises:
        ValueError: for an unknown name. ImportError: for yiq without Addons.

    Example:

    >>> import numpy as np
    >>> from npid_tf import build_augmentation
    >>> images = np.zeros([2, 48, 48, 3], np.uint8)
    >>> augmentation = build_augmentation("moco_v2")
    >>> draws = augmentation.draws(seed=0, epoch=3, indices=[0, 1])
    >>> augmentation.views(images, draws, image_size=32).shape
    TensorShape([2, 32, 32, 3])
    """
    one_of("jitter", jitter, HUE_AND_SATURATION)
    if jitter == "yiq":
        color.addons()  # Report missing Addons now, not during training.
    return AUGMENTATIONS[one_of("augmentation", name, AUGMENTATIONS)](
        HUE_AND_SATURATION[jitter]
    )


def _jitter(turn, strengths, probability, gray_first, gray_probability=0.2):
    function = functools.partial(
        color.random_color,
        strengths=strengths,
        probability=probability,
        gray_probability=gray_probability,
        gray_first=gray_first,
        hue_and_saturation=turn,
    )
    return Step(function, color.NUM_DRAWS)


def _paper(turn, gray_first):
    return _jitter(turn, (0.4, 0.4, 0.4, 0.4), 1.0, gray_first)


def _moco(turn):
    return _jitter(turn, (0.4, 0.4, 0.4, 0.1), 0.8, gray_first=False)


def _no_hue(turn):
    return _jitter(turn, (0.4, 0.4, 0.4, 0.0), 1.0, True, gray_probability=0)


def random_flip(planes, draws):
    """Mirrors half of the images, [batch, 3, h, w]; draws: float32 [batch, 1]."""
    flipped = tf.reverse(planes, axis=[3])
    return tf.where(draws[:, :, None, None] < 0.5, flipped, planes)


FLIP = Step(random_flip, num_draws=1)
BLUR = Step(random_blur, num_draws=2)
AFFINE = Step(random_affine, num_draws=4)
LIGHTING = Step(random_lighting, LIGHTING_DRAWS)

# Functions of how hue is turned, a value of HUE_AND_SATURATION.
AUGMENTATIONS = {
    "npid": lambda turn: Recipe((0.2, 1.0), (_paper(turn, True), FLIP)),
    "npid_cifar": lambda turn: Recipe((0.2, 1.0), (_paper(turn, False),)),
    "moco_v2": lambda turn: Recipe((0.2, 1.0), (_moco(turn), BLUR, FLIP)),
    "moco_v2_cifar": lambda turn: Recipe((0.2, 1.0), (_moco(turn), FLIP)),
    "affine": lambda turn: Recipe(None, (AFFINE,)),
    "crop_flip": lambda turn: Recipe((0.08, 1.0), (FLIP,)),
    "crop_flip_color": lambda turn: Recipe(
        (0.08, 1.0), (FLIP, _no_hue(turn), LIGHTING)
    ),
    "none": lambda turn: Recipe(None, ()),
}
