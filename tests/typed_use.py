"""Read by mypy, never run: what a type checker knows of the public names.

An `ignore` that hides no error is an error itself, so these lines must be found wrong.
"""

import numpy as np

import npid_tf

EMBEDDINGS = np.eye(3, dtype=np.float32)


def what_is_right() -> None:
    index = npid_tf.build_index(EMBEDDINGS, ["a", "b", "c"], recall=0.9)
    names: list[list[str]] = index.search(EMBEDDINGS, k=2).ids
    ids, similarities, _ = npid_tf.load_index("export").search(EMBEDDINGS, 2)
    names, best = ids, float(similarities.max())
    npid_tf.search.build_index(EMBEDDINGS, names[0], labels=["cat", None, str(best)])
    accuracies = npid_tf.knn_accuracy(EMBEDDINGS, [0, 1, 2], EMBEDDINGS, [0, 1, 2])
    accuracies[200]["top1"].hex()
    npid_tf.Client("http://localhost:8501", seconds=5).embed([b"GIF89a"]).mean()
    npid_tf.Augmentation("moco_v2", image_size=32)
    npid_tf.build_augmentation("moco_v2").num_draws.bit_length()
    npid_tf.__version__.upper()


def what_is_wrong() -> None:
    npid_tf.no_such_name()  # type: ignore[attr-defined]
    npid_tf.build_index(EMBEDDINGS, [1, 2, 3])  # type: ignore[list-item]
    npid_tf.build_index(EMBEDDINGS, ["a"], recall="high")  # type: ignore[arg-type]
    npid_tf.load_index(3)  # type: ignore[arg-type]
    npid_tf.Client("http://localhost:8501", 5)  # type: ignore[call-arg]
    npid_tf.Augmentation("moco_v2", 32)  # type: ignore[call-arg]
    npid_tf.build_encoder(EMBEDDINGS, embedding_dim="128")  # type: ignore[arg-type]
