"""SavedModels of stock TensorFlow ops, as TF Serving loads them."""

import functools
import json
import os

import numpy as np
import tensorflow as tf

from npid_tf.data.decode import decode_plain
from npid_tf.data.decoding.rules import DEFAULT
from npid_tf.data.preprocess import preprocess_for_eval
from npid_tf.errors import FileError, MissingPackageError, UserError
from npid_tf.files.checksums import check_sums, read_json, sums_of
from npid_tf.files.formats import check_format, stamp
from npid_tf.files.whole_files import write_whole
from npid_tf.search.votes import class_scores

DESCRIPTION = os.path.join("assets.extra", "npid_tf.json")
REMEDY = "Restore it from a backup, or export again with `python -m npid_tf.export`."
WARMUP = os.path.join("assets.extra", "tf_serving_warmup_requests")


class Embedder(tf.Module):
    """Images in, embeddings out: the preprocessing and the encoder in one graph."""

    def __init__(self, encoder, image_size, crop_fraction, decoding=DEFAULT):
        super().__init__()
        # Not the encoder itself, which would be saved with a second variable for each
        # of Keras' own: TensorFlow Serving restores only those, and runs the others.
        self._encode = functools.partial(encoder, training=False)
        self.encoder_variables = [variable.value for variable in encoder.variables]
        self.image_size = image_size
        self.crop_fraction = crop_fraction
        self.decoding = decoding

    @tf.function(
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")]
    )
    def embed_images(self, images):
        """uint8 [batch, height, width, 3] -> {"embeddings": float32 [batch, dim]}."""
        images = preprocess_for_eval(images, self.image_size, self.crop_fraction)
        return {"embeddings": self._encode(images)}

    def embed_resized(self):
        """A tf.function of images that have the encoder's size already, to convert: no
        converter knows the op that resizes, and most want the size to be fixed.

        uint8 [batch, image_size, image_size, 3] -> {"embeddings": [batch, dim]}.
        """
        shape = [None, self.image_size, self.image_size, 3]
        images = tf.TensorSpec(shape, tf.uint8, name="images")

        @tf.function(input_signature=[images])
        def embed(images):
            return {"embeddings": self._encode(images)}

        return embed

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def embed_bytes(self, image_bytes):
        """Image files, string [batch] -> {"embeddings": float32 [batch, dim]}."""
        return {"embeddings": self._embed_files(image_bytes)}

    def _embed_files(self, image_bytes):
        def load(file):
            image = decode_plain(file, self.decoding)
            return preprocess_for_eval(image, self.image_size, self.crop_fraction)

        shape = [self.image_size, self.image_size, 3]
        images = tf.map_fn(
            load, image_bytes, fn_output_signature=tf.TensorSpec(shape, tf.uint8)
        )
        return self._encode(images)


class Voters(tf.Module):
    """The classes that training images vote for.

    Args:
        labels: int64 [num_instances].
        temperature: of the votes.
    """

    def __init__(self, labels, temperature):
        super().__init__()
        self.labels = tf.Variable(labels, trainable=False)
        self.num_classes = int(labels.max()) + 1
        self.temperature = temperature

    def class_probabilities(self, similarities, ids):
        """float32 [batch, num_classes] of neighbors [batch, k]; similarity -inf: no
        vote."""
        scores = class_scores(
            similarities,
            tf.gather(self.labels, ids),
            self.num_classes,
            self.temperature,
        )
        return scores / tf.reduce_sum(scores, axis=1, keepdims=True)


class NeighborFinder(tf.Module):
    """Image files in, the most similar training images out, by exact search.

    Args:
        embedder: Embedder.
        vectors: float32 [num_instances, dim], a unit vector per training image.
        k: neighbors.
        labels: int64 [num_instances], or None.
        temperature: of the neighbors' votes for their classes.
    """

    def __init__(self, embedder, vectors, k, labels=None, temperature=0.1):
        super().__init__()
        self.embedder = embedder
        self.k = k
        # Variables, since a SavedModel's graph holds no more than 2 GB of constants.
        self.vectors = tf.Variable(vectors, trainable=False)
        self.voters = None if labels is None else Voters(labels, temperature)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def find(self, image_bytes):
        """string [batch] -> ids and similarities [batch, k], the most similar first,
        and class_probabilities [batch, num_classes] if there are labels."""
        embeddings = self.embedder._embed_files(image_bytes)
        similarities = tf.matmul(embeddings, self.vectors, transpose_b=True)
        similarities, ids = tf.math.top_k(similarities, self.k)
        found = {"ids": tf.cast(ids, tf.int64), "similarities": similarities}
        if self.voters is not None:
            probabilities = self.voters.class_probabilities(similarities, ids)
            found["class_probabilities"] = probabilities
        return found


def save_model(module, signatures, directory, description, namespaces=()):
    """Writes a SavedModel and, beside its variables, a description of what it is.

    signatures: {name: tf.function}. description: dict, for `read_description`; the
    format, and sizes and checksums of the files, are added to it. namespaces: of the
    ops in it that are not TensorFlow's own.
    """
    options = tf.saved_model.SaveOptions(namespace_whitelist=list(namespaces))
    tf.saved_model.save(module, directory, signatures, options)
    describe_model(directory, description)


def describe_model(directory, description):
    """Writes the description of a SavedModel whose files are all there."""
    record = {**description, **stamp("export"), "files": sums_of(directory)}
    path = os.path.join(directory, DESCRIPTION)
    write_whole(path, json.dumps(record, indent=1))


def read_description(directory):
    """The description of a SavedModel that `save_model` wrote.

    Raises ValueError if there is none, or it is damaged or of a newer format.
    """
    record = _read_record(directory)
    return {k: v for k, v in record.items() if k not in ("files", *stamp("export"))}


def check_model(directory):
    """The description of a SavedModel, of which every file is as it was written.

    Raises ValueError as `read_description`, and for a file that is damaged.
    """
    check_sums(directory, _read_record(directory).get("files", {}), REMEDY)
    return read_description(directory)


def _read_record(directory):
    path = os.path.join(directory, DESCRIPTION)
    if not os.path.isfile(path):
        raise UserError(f"{directory} is not a model exported by npid_tf: no {path}.")
    record = read_json(path, REMEDY)
    check_format(record, "export", path)
    if not isinstance(record.get("encoder_hash"), str):
        raise FileError(f"{path} is damaged: it has no `encoder_hash`. {REMEDY}")
    return record


def write_warmup(directory, model_name, image_size):
    """Adds the requests that TF Serving replays when it loads the encoder.

    Raises ImportError, naming the extra, without tensorflow-serving-api.
    """
    try:
        from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2
    except ImportError as error:
        raise MissingPackageError(
            "The warm-up record needs tensorflow-serving-api: pip install "
            "'npid_tf[serving]'."
        ) from error
    images = np.zeros((1, image_size, image_size, 3), np.uint8)
    file = tf.io.encode_jpeg(images[0]).numpy()
    inputs = {
        "serving_default": {"images": tf.make_tensor_proto(images)},
        "serving_bytes": {"image_bytes": tf.make_tensor_proto([file])},
    }
    with tf.io.TFRecordWriter(os.path.join(directory, WARMUP)) as writer:
        for signature, tensors in inputs.items():
            request = predict_pb2.PredictRequest(
                model_spec=model_pb2.ModelSpec(
                    name=model_name, signature_name=signature
                ),
                inputs=tensors,
            )
            log = prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=request)
            )
            writer.write(log.SerializeToString())
