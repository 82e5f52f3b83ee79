"""The encoder f_theta: images -> backbone -> features -> head -> unit embedding."""

import hashlib

import keras
import numpy as np

from npid_tf.backbones.resnet import batch_norm
from npid_tf.checks.arguments import one_of, whole_number
from npid_tf.errors import UserError

# Mean and standard deviation of ImageNet's channels, as torchvision documents them.
MEAN = (0.485, 0.456, 0.406)
STANDARD_DEVIATION = (0.229, 0.224, 0.225)


def build_encoder(
    backbone: keras.Model,
    embedding_dim: int = 128,
    *,
    head: str = "linear",
    batch_norm_before_l2: bool = False,
    normalize: bool = True,
) -> keras.Model:
    """A Keras model from images to unit embeddings, v = f_theta(x) / ||f_theta(x)||.

    The layer `features` holds what the backbone gives, averaged over positions if
    it gives maps; the layer `embedding` the L2 norm, always float32.

    Args:
        backbone: any Keras model from [batch, height, width, 3] to [batch, height,
            width, channels] or [batch, channels].
        embedding_dim: dimension of the embeddings.
        head: `linear` (the paper), `mlp` (one hidden layer as wide as the features) or
            `none` (the features are the embedding, before the L2 norm).
        batch_norm_before_l2: normalizes each dimension over the batch before the L2
            norm, so that embeddings start spread over the sphere.
        normalize: whether to scale images 0..255 to the mean and deviation of
            ImageNet before the backbone; False for a backbone that does so itself.

    Returns:
        Model from images, 0..255 in any dtype, to float32 [batch, embedding_dim].

    Raises:
        ValueError: for an unknown head, a backbone that is no Keras model or of another
            output, or a dimension that the head `none` cannot give.

    Source: Wu et al. 2018, section 3.1; the head `mlp` is that of Chen et al. 2020.

    Example:

    >>> from npid_tf import build_backbone, build_encoder
    >>> backbone = build_backbone("resnet18_cifar", image_size=32, width=16)
    >>> encoder = build_encoder(backbone, embedding_dim=128)
    >>> encoder.output_shape
    (None, 128)
    """
    if not isinstance(backbone, keras.Model):
        raise UserError(
            "`backbone` must be a Keras model, as `build_backbone` makes. Received: "
            f"{type(backbone).__name__}."
        )
    one_of("head", head, HEADS)
    embedding_dim = whole_number("embedding_dim", embedding_dim, 1)
    images = keras.Input(backbone.input_shape[1:])
    x = images
    if normalize:
        x = keras.layers.Rescaling(
            [1 / (255 * deviation) for deviation in STANDARD_DEVIATION],
            [-mean / d for mean, d in zip(MEAN, STANDARD_DEVIATION, strict=True)],
        )(x)
    x = backbone(x)
    if len(x.shape) == 4:
        features = keras.layers.GlobalAveragePooling2D(name="features")(x)
    elif len(x.shape) == 2:
        features = keras.layers.Identity(name="features")(x)
    else:
        raise UserError(
            "`backbone` must give [batch, height, width, channels] or [batch, "
            f"channels]. Received: {x.shape}."
        )
    x = HEADS[head](features, embedding_dim)
    if batch_norm_before_l2:
        x = batch_norm(name="head_batch_norm")(x)
    embedding = keras.layers.UnitNormalization(name="embedding", dtype="float32")(x)
    return keras.Model(images, embedding, name="encoder")


def with_features(encoder):
    """A model sharing `encoder`'s weights that returns (features, embeddings)."""
    features = encoder.get_layer("features").output
    return keras.Model(encoder.input, (features, encoder.output))


def encoder_hash(encoder):
    """Tells encoders apart: SHA-256 of all weights, in the order of the layers."""
    digest = hashlib.sha256()
    for variable in encoder.weights:
        digest.update(np.ascontiguousarray(variable.numpy()).tobytes())
    return digest.hexdigest()


def _linear(features, embedding_dim):
    return keras.layers.Dense(embedding_dim, name="projection")(features)


def _mlp(features, embedding_dim):
    width = features.shape[-1]
    hidden = keras.layers.Dense(width, activation="relu", name="hidden")(features)
    return keras.layers.Dense(embedding_dim, name="projection")(hidden)


def _none(features, embedding_dim):
    if features.shape[-1] != embedding_dim:
        raise UserError(
            "With head `none`, `embedding_dim` must be the number of features, "
            f"{features.shape[-1]}. Received: {embedding_dim}."
        )
    return features


HEADS = {"linear": _linear, "mlp": _mlp, "none": _none}
