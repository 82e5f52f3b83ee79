"""The Keras example of the README runs as it stands there."""

import pathlib
import re

import numpy as np

README = pathlib.Path(__file__).resolve().parent.parent / "README.md"


def test_the_keras_example_trains_and_embeds():
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    names = {}
    exec(example, names)
    embeddings = names["embeddings"]
    assert embeddings.shape == (64, 128)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    # Every image was visited, so that no row of the bank is its first one.
    fresh = type(names["bank"])(64, 128)
    moved = names["bank"].numpy() != fresh.numpy()
    assert moved.any(axis=1).all()
