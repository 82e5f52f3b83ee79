"""A SavedModel that searches with ScaNN's TensorFlow ops, for servers built with them.

Stock TF Serving does not load it: its ops are not in there. In Python, `import scann`
before `tf.saved_model.load`.
"""

import tensorflow as tf

from npid_tf.errors import UserError
from npid_tf.saved_models.saved_model import Voters
from npid_tf.search.builder import build_searcher
from npid_tf.search.scann_index import import_scann, search_effort

# ScaNN's ops save no bfloat16 vectors: what was saved cannot be loaded.
DTYPES = ("float32", "int8")
NAMESPACE = "Scann"  # Namespace of its ops, which `tf.saved_model.save` needs.


def check_dtype_of_ops(dtype):
    """Raises ValueError for what the ops cannot keep vectors as."""
    if dtype not in DTYPES:
        raise UserError(
            f"--scann_saved_model needs --index_dtype {' or '.join(DTYPES)}: ScaNN's "
            f"TensorFlow ops cannot load others. Received: {dtype}."
        )


class ScannNeighborFinder(tf.Module):
    """Image files in, the most similar training images out, through ScaNN.

    Searches as the index of the export does, with its settings.

    Args:
        embedder: Embedder.
        vectors: float32 [num_instances, dim], unit length.
        manifest: of the index, with the settings tuned for it.
        k: neighbors.
        labels: int64 [num_instances], or None.
        temperature: of the neighbors' votes for their classes.
    """

    def __init__(self, embedder, vectors, manifest, k, labels=None, temperature=0.1):
        super().__init__()
        self.embedder = embedder
        self.k = k
        self.effort = search_effort(manifest, k)
        settings = manifest["settings"]
        # Not a searcher but its variables: only these can be saved.
        ops = import_scann().scann_ops
        searcher = build_searcher(ops.builder, vectors, k, settings)
        self.state = searcher.serialize_to_module()
        self.voters = None if labels is None else Voters(labels, temperature)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def find(self, image_bytes):
        """string [batch] -> ids and similarities [batch, k], the most similar first,
        and class_probabilities [batch, num_classes] if there are labels.

        If fewer than k were found, ids are -1 and similarities too.
        """
        embeddings = self.embedder._embed_files(image_bytes)
        ids, similarities = self._search(embeddings)
        is_found = tf.logical_not(tf.math.is_nan(similarities))
        found = {
            "ids": tf.where(is_found, tf.cast(ids, tf.int64), -1),
            "similarities": tf.where(is_found, similarities, -1.0),
        }
        if self.voters is not None:
            votes = tf.where(is_found, similarities, -float("inf"))
            found["class_probabilities"] = self.voters.class_probabilities(votes, ids)
        return found

    def _search(self, embeddings):
        """Rows and similarities [batch, k]; row 0 and NaN if there are fewer."""
        searcher = import_scann().scann_ops.searcher_from_module(self.state)
        rows, similarities = searcher.search_batched(
            embeddings, final_num_neighbors=self.k, **self.effort
        )
        # ScaNN pads too, but only up to the query that found the most.
        lacking = [[0, 0], [0, self.k - tf.shape(rows)[1]]]
        rows = tf.pad(rows, lacking)
        similarities = tf.pad(similarities, lacking, constant_values=float("nan"))
        shape = [None, self.k]
        return tf.ensure_shape(rows, shape), tf.ensure_shape(similarities, shape)
