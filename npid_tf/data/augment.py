"""The random views of training images, each determined by (seed, epoch, index).

To add one: write a function of (images, draws), and name its recipe in
`build_augmentation`.
"""

import dataclasses
import functools
from collections.abc import Callable

import tensorflow as tf

from npid_tf.data import color
from npid_tf.data.affine import random_affine
from npid_tf.data.blur import random_blur
from npid_tf.data.crop import NUM_DRAWS as CROP_DRAWS

HUE_AND_SATURATION = {"hsv": color.hsv, "yiq": color.yiq}


@dataclasses.dataclass(frozen=True)
class Step:
    """A change of a batch, `function(images, draws)`; see `Augmentation.__call__`."""

    function: Callable
    num_draws: int


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """A recipe: a random resized crop (None: the central square), then the steps.

    crop_scale: the least and largest part of the image's area that a crop keeps.
    """

    crop_scale: tuple[float, float] | None
    steps: tuple[Step, ...]

    @property
    def num_draws(self):
        """Uniform numbers that an image takes, those of the crop first."""
        return CROP_DRAWS + sum(step.num_draws for step in self.steps)

    def draws(self, seed, epoch, index):
        """Uniform numbers in [0, 1), float32 [num_draws]. Arguments: int64 scalars."""
        seed = tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)])
        return tf.random.stateless_uniform(
            [self.num_draws], seed=tf.random.experimental.stateless_fold_in(seed, index)
        )

    def __call__(self, images, draws):
        """Applies the steps.

        images: uint8 [batch, size, size, 3]; draws: float32 [batch, num_draws].
        Returns uint8 of the same shape.
        """
        if not self.steps:
            return images
        images = tf.cast(images, tf.float32) / 255
        used = CROP_DRAWS
        for step in self.steps:
            images = step.function(images, draws[:, used : used + step.num_draws])
            used += step.num_draws
        return tf.saturate_cast(tf.round(images * 255), tf.uint8)


def build_augmentation(name, jitter="hsv"):
    """The `Augmentation` called `name`. jitter: hsv or yiq, how hue is turned.

    npid: Wu et al.'s for ImageNet; npid_cifar: their code's for CIFAR (jitter before
    grey, no flip); moco_v2: Chen et al. 2020; affine: small rotations, shifts and
    zooms; none: central square. Raises ValueError for an unknown name.
    """
    if jitter not in HUE_AND_SATURATION:
        raise ValueError(
            f"Unknown jitter {jitter!r}. Known: {', '.join(HUE_AND_SATURATION)}."
        )
    if jitter == "yiq":
        color.addons()  # Missing Addons should be told of here, not while training.
    jitter_step = functools.partial(
        color.random_jitter, change_hue_and_saturation=HUE_AND_SATURATION[jitter]
    )

    def jitter_by(strengths, probability=1.0):
        return Step(
            functools.partial(
                jitter_step, strengths=strengths, probability=probability
            ),
            num_draws=5,
        )

    gray = Step(functools.partial(color.random_gray, probability=0.2), num_draws=1)
    flip = Step(random_flip, num_draws=1)
    blur = Step(random_blur, num_draws=2)
    affine = Step(random_affine, num_draws=4)
    paper_jitter = jitter_by((0.4, 0.4, 0.4, 0.4))
    moco_jitter = jitter_by((0.4, 0.4, 0.4, 0.1), probability=0.8)
    augmentations = {
        "npid": Augmentation((0.2, 1.0), (gray, paper_jitter, flip)),
        "npid_cifar": Augmentation((0.2, 1.0), (paper_jitter, gray)),
        "moco_v2": Augmentation((0.2, 1.0), (moco_jitter, gray, blur, flip)),
        "affine": Augmentation(None, (affine,)),
        "none": Augmentation(None, ()),
    }
    if name not in augmentations:
        raise ValueError(
            f"Unknown augmentation {name!r}. Known: {', '.join(augmentations)}."
        )
    return augmentations[name]


def random_flip(images, draws):
    """Mirrors half of the images, [batch, h, w, 3]; draws: float32 [batch, 1]."""
    flipped = tf.reverse(images, axis=[2])
    return tf.where(draws[:, :, None, None] < 0.5, flipped, images)
