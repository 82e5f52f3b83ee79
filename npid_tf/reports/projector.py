"""The files that TensorBoard's embedding projector shows, with a thumbnail a point."""

import math
import os

import numpy as np
import tensorflow as tf
from tensorboard.plugins import projector

from npid_tf.errors import UserError

SPRITE_SIDE = 8192  # pixels: TensorBoard's limit
CONTROL_CHARACTERS = dict.fromkeys(range(32), " ")  # a tab would end a column


def thumbnail_side(num_images, largest=64):
    """Pixels of a side, at most `largest`, with which the sprite keeps to its limit.

    Raises ValueError if no side does.
    """
    side = min(largest, SPRITE_SIDE // math.ceil(math.sqrt(num_images)))
    if not side:
        raise UserError(
            f"TensorBoard shows at most {SPRITE_SIDE**2} images. Received: "
            f"{num_images}."
        )
    return side


def write_projector(directory, embeddings, metadata, thumbnails):
    """Writes the tensors, their metadata, the sprite and the file that names them.

    `tensorboard --logdir=directory` shows them.

    Args:
        directory: that exists.
        embeddings: float32 [num_points, dim].
        metadata: {column: list of num_points values}, one column or more.
        thumbnails: uint8 [num_points, side, side, 3], see `thumbnail_side`.
    """
    path = os.path.join(directory, "metadata.tsv")
    # Names of files need not be UTF-8, which TensorBoard reads alone.
    with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:
        lines = list(zip(*metadata.values(), strict=True))
        if len(metadata) > 1:  # TensorBoard takes the head of one column for a value.
            lines.insert(0, tuple(metadata))
        for line in lines:
            file.write("\t".join(_cell(value) for value in line) + "\n")
    np.savetxt(
        os.path.join(directory, "tensors.tsv"), embeddings, fmt="%.6g", delimiter="\t"
    )
    sprite = tf.io.encode_png(make_sprite(thumbnails))
    tf.io.write_file(os.path.join(directory, "sprite.png"), sprite)
    config = projector.ProjectorConfig()
    embedding = config.embeddings.add()
    embedding.tensor_name = "embeddings"
    embedding.tensor_path = "tensors.tsv"
    embedding.metadata_path = "metadata.tsv"
    embedding.sprite.image_path = "sprite.png"
    embedding.sprite.single_image_dim.extend([thumbnails.shape[2], thumbnails.shape[1]])
    projector.visualize_embeddings(os.fspath(directory), config)


def make_sprite(thumbnails):
    """One square picture of all thumbnails, row by row, filled up with white.

    thumbnails: uint8 [num_points, side, side, 3]. Returns uint8 [height, height, 3].
    """
    num_points, side, _, channels = thumbnails.shape
    columns = math.ceil(math.sqrt(num_points))
    cells = np.full([columns**2, side, side, channels], 255, np.uint8)
    cells[:num_points] = thumbnails
    grid = cells.reshape(columns, columns, side, side, channels)
    return grid.swapaxes(1, 2).reshape(columns * side, columns * side, channels)


def _cell(value):
    return str(value).translate(CONTROL_CHARACTERS)
