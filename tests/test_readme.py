"""The Keras examples of the README run as they stand there."""

import pathlib
import re

import numpy as np

README = pathlib.Path(__file__).resolve().parent.parent / "README.md"


def test_the_keras_example_trains_and_embeds():
    example, classifier, *_ = re.findall(
        r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL
    )
    names = {}
    exec(example, names)
    embeddings = names["embeddings"]
    assert embeddings.shape == (64, 128)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    # Every image was visited, so that no row of the bank is its first one.
    fresh = type(names["bank"])(64, 128)
    moved = names["bank"].numpy() != fresh.numpy()
    assert moved.any(axis=1).all()

    exec(classifier, names)  # Goes on from the first.
    rows = names["rows"]
    assert names["model"].bank is rows
    first_rows = type(rows)(64, 128, num_neighbors=10).numpy()
    assert (rows.numpy() != first_rows).any(axis=1).all()
