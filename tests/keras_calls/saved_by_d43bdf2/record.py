"""Run in a checkout of d43bdf2, to make the files beside it: `record.py FOLDER`.

A trained model with its bank, a bare encoder, and what they give.
"""

import pathlib
import sys

import keras
import numpy as np

import npid_tf
from npid_tf.backbones.resnet import batch_norm

folder = pathlib.Path(sys.argv[1])
keras.utils.set_random_seed(0)
images = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8)
pixels = keras.Input((8, 8, 3))
maps = batch_norm()(keras.layers.Conv2D(4, 3, strides=2)(pixels))
backbone = keras.Model(pixels, keras.layers.ReLU()(maps))
encoder = npid_tf.build_encoder(backbone, embedding_dim=4)
bank = npid_tf.MemoryBank(12, 4, momentum=0.25)
model = npid_tf.NPID(encoder, bank, npid_tf.NonparametricSoftmax(temperature=0.1))
model.compile(keras.optimizers.SGD(0.03, momentum=0.9))
model.fit(images, np.arange(12), batch_size=6, epochs=2, verbose=0)
model.save(folder / "npid.keras")
encoder.save(folder / "encoder.keras")
np.savez(
    folder / "expected.npz",
    images=images,
    embeddings=model.predict(images, verbose=0),
    vectors=bank.numpy(),
    loss=model.evaluate(images, np.arange(12), batch_size=6, verbose=0),
)
