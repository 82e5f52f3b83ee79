"""The random views of images as a Keras layer, for anyone's data set or model."""

from typing import Any

import keras
import tensorflow as tf

from npid_tf.checks.arguments import whole_number
from npid_tf.data.augmentation.augment import build_augmentation
from npid_tf.data.preprocess import preprocess_for_eval
from npid_tf.errors import UserError


@keras.saving.register_keras_serializable("npid_tf")
class Augmentation(keras.layers.Layer):
    """A random view of each image, new at every call; in inference the central square.

    It takes images 0..255, uint8 or float, [batch, height, width, 3] or one of them,
    and returns uint8 [batch, image_size, image_size, 3], or one. As Keras's own random
    layers do, it draws from a state of its own; `build_augmentation` draws by (seed,
    epoch, index), as `python -m npid_tf.train` does.

    Args:
        recipe: a name that `build_augmentation` knows, as moco_v2.
        image_size: side of the square views.
        jitter: hsv or yiq, how hue is turned.
        seed: an integer; None: a random one.

    Raises:
        ValueError: for an unknown name, and when called for images of another shape.

    Source: the recipes are those of Wu et al. 2018 (npid) and Chen et al. 2020
    (moco_v2); see `build_augmentation`.

    Example:

    >>> import numpy as np, tensorflow as tf
    >>> from npid_tf import Augmentation
    >>> images = np.zeros([4, 48, 48, 3], np.uint8)
    >>> dataset = tf.data.Dataset.from_tensor_slices((images, np.arange(4))).batch(2)
    >>> augment = Augmentation("moco_v2", image_size=32)
    >>> dataset = dataset.map(lambda images, indices: (augment(images), indices))
    >>> next(iter(dataset))[0].shape
    TensorShape([2, 32, 32, 3])
    """

    def __init__(
        self,
        recipe: str,
        *,
        image_size: int,
        jitter: str = "hsv",
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(autocast=False, **kwargs)
        self.recipe, self.jitter, self.seed = recipe, jitter, seed
        self.image_size = whole_number("image_size", image_size, 1)
        if seed is not None:
            whole_number("seed", seed, 0)
        self._augmentation = build_augmentation(recipe, jitter=jitter)
        self._seeds = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, images: tf.Tensor, training: bool = True) -> tf.Tensor:
        images = _checked(images)
        is_one = images.shape.rank == 3
        batch = images[None] if is_one else images
        views = self._views(batch) if training else self._squares(batch)
        return views[0] if is_one else views

    def _views(self, images):
        seed = tf.unstack(tf.cast(self._seeds.next(), tf.int64))
        indices = tf.range(tf.shape(images)[0])
        draws = self._augmentation.draws(*seed, indices)
        return self._augmentation.views(images, draws, self.image_size)

    def _squares(self, images):
        return preprocess_for_eval(images, self.image_size, 1.0)

    def compute_output_spec(self, images, training=True):
        shape = (*images.shape[:-3], self.image_size, self.image_size, 3)
        return keras.KerasTensor(shape, dtype="uint8")

    def get_config(self) -> dict[str, Any]:
        own = ("recipe", "image_size", "jitter", "seed")
        config = super().get_config()
        return {**config, **{name: getattr(self, name) for name in own}}


def _checked(images):
    """Images as uint8. Raises ValueError for anything else."""
    images = tf.convert_to_tensor(images)
    is_number = images.dtype.is_floating or images.dtype.is_integer
    if not is_number or images.shape.rank not in (3, 4) or images.shape[-1] != 3:
        raise UserError(
            "`images` must be numbers 0..255, [batch, height, width, 3] or [height, "
            f"width, 3]. Received: {images.dtype.name} {images.shape}."
        )
    if images.dtype == tf.uint8:
        return images
    return tf.saturate_cast(tf.round(tf.cast(images, tf.float32)), tf.uint8)
