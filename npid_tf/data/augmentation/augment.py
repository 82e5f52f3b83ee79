"""The random views of training images, each determined by (seed, epoch, index).

To add one: write a function of (planes, draws), and name its recipe in
`build_augmentation`. Planes are the colours of a batch one by one, [batch, 3, height,
width], which TensorFlow's CPU operations are fastest on.
"""

import dataclasses
import functools
from collections.abc import Callable

import tensorflow as tf

from npid_tf.data.augmentation import color
from npid_tf.data.augmentation.affine import random_affine
from npid_tf.data.augmentation.blur import random_blur
from npid_tf.data.augmentation.crop import NUM_DRAWS as CROP_DRAWS
from npid_tf.data.augmentation.draws import uniform_draws
from npid_tf.data.augmentation.lighting import NUM_DRAWS as LIGHTING_DRAWS
from npid_tf.data.augmentation.lighting import random_lighting
from npid_tf.errors import UserError

HUE_AND_SATURATION = {"hsv": color.hsv, "yiq": color.yiq}


@dataclasses.dataclass(frozen=True)
class Step:
    """A change of a batch, `function(planes, draws)`; see `Augmentation.__call__`."""

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

    def draws(self, seed, epoch, indices):
        """The draws of many images, float32 [..., num_draws]; see `uniform_draws`."""
        return uniform_draws(seed, epoch, indices, self.num_draws)

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


def build_augmentation(name, jitter="hsv"):
    """The `Augmentation` called `name`. jitter: hsv or yiq, how hue is turned.

    npid: Wu et al.'s for ImageNet; npid_cifar: their code's for CIFAR (jitter before
    grey, no flip); moco_v2: Chen et al. 2020; moco_v2_cifar: that without the blur, as
    SimCLR has it for CIFAR; affine: small rotations, shifts and zooms; crop_flip and
    crop_flip_color: of labelled images, see `npid_tf.protocols.linear_heads`; none:
    central square. Raises ValueError for an unknown name.
    """
    if jitter not in HUE_AND_SATURATION:
        raise UserError(
            f"Unknown jitter {jitter!r}. Known: {', '.join(HUE_AND_SATURATION)}."
        )
    if jitter == "yiq":
        color.addons()  # Missing Addons should be told of here, not while training.

    def color_step(strengths, probability, gray_first, gray_probability=0.2):
        function = functools.partial(
            color.random_color,
            strengths=strengths,
            probability=probability,
            gray_probability=gray_probability,
            gray_first=gray_first,
            hue_and_saturation=HUE_AND_SATURATION[jitter],
        )
        return Step(function, color.NUM_DRAWS)

    flip = Step(random_flip, num_draws=1)
    blur = Step(random_blur, num_draws=2)
    affine = Step(random_affine, num_draws=4)
    paper_strengths, moco_strengths = (0.4, 0.4, 0.4, 0.4), (0.4, 0.4, 0.4, 0.1)
    npid = color_step(paper_strengths, probability=1.0, gray_first=True)
    npid_cifar = color_step(paper_strengths, probability=1.0, gray_first=False)
    moco = color_step(moco_strengths, probability=0.8, gray_first=False)
    lighting = Step(random_lighting, LIGHTING_DRAWS)
    no_hue = color_step((0.4, 0.4, 0.4, 0.0), 1.0, gray_first=True, gray_probability=0)
    augmentations = {
        "npid": Augmentation((0.2, 1.0), (npid, flip)),
        "npid_cifar": Augmentation((0.2, 1.0), (npid_cifar,)),
        "moco_v2": Augmentation((0.2, 1.0), (moco, blur, flip)),
        "moco_v2_cifar": Augmentation((0.2, 1.0), (moco, flip)),
        "affine": Augmentation(None, (affine,)),
        "crop_flip": Augmentation((0.08, 1.0), (flip,)),
        "crop_flip_color": Augmentation((0.08, 1.0), (flip, no_hue, lighting)),
        "none": Augmentation(None, ()),
    }
    if name not in augmentations:
        raise UserError(
            f"Unknown augmentation {name!r}. Known: {', '.join(augmentations)}."
        )
    return augmentations[name]


def random_flip(planes, draws):
    """Mirrors half of the images, [batch, 3, h, w]; draws: float32 [batch, 1]."""
    flipped = tf.reverse(planes, axis=[3])
    return tf.where(draws[:, :, None, None] < 0.5, flipped, planes)
