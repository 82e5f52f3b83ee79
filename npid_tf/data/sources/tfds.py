"""Data sets prepared by TensorFlow Datasets: small ones in memory, large ones read from
their files in every epoch."""

import math

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from google.protobuf.message import DecodeError

from npid_tf.data.decoding.rules import DEFAULT
from npid_tf.data.sources.arrays import from_arrays
from npid_tf.data.sources.record_table import RecordTable
from npid_tf.data.sources.tfds_names import known_names
from npid_tf.errors import FileError, UserError

# Below this many bytes of decoded pixels, a data set is kept decoded in memory.
IN_MEMORY_BYTES = 2 << 30
SHUFFLE_BUFFER = 16_384
# What VOC calls the classes of an image, and those of them that are easy to see.
SEVERAL_LABELS = ("labels", "labels_no_difficult")


def load_tfds(name, split, data_dir=None, tables=None, decoding=DEFAULT):
    """A source of a prepared TFDS data set that has the features `image` and, maybe,
    `label`.

    split: as TFDS writes it, such as `train[:90%]`. tables: folder that keeps where the
    records are, and their labels; or None. decoding: see `from_arrays`.
    Raises ValueError if the data set is unknown, not prepared or without images.
    """
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    # AssertionError: for a version. OSError: for a folder without a data set.
    except (ValueError, AssertionError, KeyError, OSError, RuntimeError) as error:
        raise UserError(
            f"Unknown TFDS data set {name!r}. {known_names(name, data_dir)}"
        ) from error
    if not builder.is_prepared():
        raise UserError(
            f"{name} is not prepared in {builder.data_path}. Pass its --data_dir, or "
            f"prepare it with `tfds build {name} --data_dir=DIR`."
        )
    try:
        num_instances = builder.info.splits[split].num_examples
    except (KeyError, ValueError) as error:
        raise UserError(
            f"Unknown split {split!r} of {name}. Known: "
            f"{', '.join(builder.info.splits)}, and parts of them such as train[:90%]."
        ) from error
    if not num_instances:
        raise UserError(f"Split {split!r} of {name} holds no images.")
    features = builder.info.features
    if "image" not in features:
        raise UserError(
            f"{name} has no feature `image`. Its features: {', '.join(features)}."
        )
    shape = features["image"].shape
    if None not in shape and num_instances * math.prod(shape) <= IN_MEMORY_BYTES:
        return _load_into_memory(builder, split, decoding)
    file_format = builder.info.file_format
    if file_format is not None and file_format.value != "tfrecord":
        raise UserError(
            f"{name} is prepared as {file_format.value} and too large for the memory. "
            f"Prepare it as TFRecords: `tfds build {name} --file_format=tfrecord`."
        )
    return TfdsStream(builder, split, tables)


def _load_into_memory(builder, split, decoding):
    # One file at a time, so that the order is that of the files.
    in_order = tfds.ReadConfig(interleave_cycle_length=1)
    dataset = builder.as_dataset(split=split, read_config=in_order)
    class_names = _class_names(builder.info.features)
    keys = ("image", "label") if class_names else ("image",)
    dataset = dataset.map(lambda example: {key: example[key] for key in keys})
    columns = next(iter(dataset.batch(builder.info.splits[split].num_examples)))
    return from_arrays(
        columns["image"].numpy(),
        _known(columns["label"].numpy()) if class_names else None,
        class_names=class_names,
        name=f"{builder.info.full_name} {split}",
        decoding=decoding,
    )


def _class_names(features):
    # A `label` that is a number or a list names no classes.
    label = dict(features).get("label")
    return tuple(label.names) if isinstance(label, tfds.features.ClassLabel) else None


def _names_of_several(features):
    """Class names if an image may have several, as in VOC; else None."""
    several = [dict(features).get(name) for name in SEVERAL_LABELS]
    if not all(isinstance(feature, tfds.features.Sequence) for feature in several):
        return None
    label = several[0].feature
    return tuple(label.names) if isinstance(label, tfds.features.ClassLabel) else None


def _known(labels):
    # TFDS writes -1 if a split, such as ImageNet's test, comes without labels.
    return None if (labels < 0).any() else labels


class TfdsStream:
    """Images read from the TFRecord files of a prepared data set (see source.py).

    The index of an image is its position in the split: that of its file plus that in
    its file. Shuffling permutes the files and passes records through a buffer, both
    determined by (seed, epoch). Records come with the stream, and are their handles.
    """

    decoding = DEFAULT

    def __init__(self, builder, split, tables=None):
        parts = [
            (part.filename, part.skip, part.take)
            for part in builder.info.splits[split].file_instructions
        ]
        names, skips, takes = zip(*parts, strict=True)
        starts = np.cumsum([0, *takes[:-1]])
        self._files = (
            tf.constant(names),
            tf.constant(skips, tf.int64),
            tf.constant(takes, tf.int64),
            tf.constant(starts, tf.int64),
        )
        self.num_instances = sum(takes)
        self.paths = None
        self.image_shape = None
        self.class_names = _class_names(builder.info.features)
        self.labels = self.targets = None
        several = _names_of_several(builder.info.features)
        self._table = RecordTable(parts, tables)
        self.records = self._table.records()
        if self.class_names:
            self.labels = _known(self._table.column("labels", self._read_labels))
        if several:
            self.class_names = several
            self.targets = self._table.column(
                "targets", lambda: self._read_targets(len(several))
            )
        self._table.save()
        self.fingerprint = {
            "name": f"{builder.info.full_name} {split}",
            "num_instances": self.num_instances,
            "examples_in_files": list(takes),
            "contents": self._table.digest(),
        }

    def keep(self):
        """Writes what spares later programs finding all records."""
        self._table.save()

    def in_order(self):
        """Every `(index, handle)` once, in the order of the indices."""
        return tf.data.Dataset.from_tensor_slices(self._files).flat_map(self._read)

    def shuffled(self, seed, epoch):
        """Every `(index, handle)` once, in an order that (seed, epoch) determine."""
        seed, epoch = tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)
        order = tf.random.experimental.stateless_shuffle(
            tf.range(len(self._files[0])), seed=tf.stack([seed, epoch])
        )
        files = tuple(tf.gather(column, order) for column in self._files)
        records = tf.data.Dataset.from_tensor_slices(files).interleave(
            self._read, cycle_length=16, num_parallel_calls=tf.data.AUTOTUNE
        )
        # `Dataset.shuffle` would mix TensorFlow's global seed into the order.
        shuffled = tf.raw_ops.ShuffleDataset(
            input_dataset=tf.data.experimental.to_variant(records),
            buffer_size=SHUFFLE_BUFFER,
            seed=seed,
            seed2=epoch + 1,  # Two zeros would ask for a random seed.
            output_types=[tf.int64, tf.string],
            output_shapes=[[], []],
            reshuffle_each_iteration=False,
        )
        return tf.data.experimental.from_variant(shuffled, records.element_spec)

    def record(self, handle):
        """The record that a handle stands for."""
        return handle

    def read(self, index):
        """The record of one image. Raises FileError if it is damaged."""
        example = tf.train.Example()
        try:
            example.ParseFromString(self.records.read(int(index)))
            (image,) = example.features.feature["image"].bytes_list.value
        except (DecodeError, ValueError) as error:
            name = self.records.filenames[self.records.file_of[int(index)]]
            raise FileError(f"{name} is damaged: {error}") from error
        return tf.constant(image)

    def _read(self, filename, skip, take, start):
        records = tf.data.TFRecordDataset(filename).skip(skip).take(take)
        feature = {"image": tf.io.FixedLenFeature([], tf.string)}
        return records.enumerate(start).map(
            lambda index, example: (
                index,
                tf.io.parse_single_example(example, feature)["image"],
            )
        )

    def _read_labels(self):
        feature = {"label": tf.io.FixedLenFeature([], tf.int64)}
        labels = []
        for filename, skip, take in zip(*self._files[:3], strict=True):
            records = tf.data.TFRecordDataset(filename).skip(skip).take(take)
            for batch in records.batch(1024).prefetch(tf.data.AUTOTUNE):
                labels.append(tf.io.parse_example(batch, feature)["label"])
        return tf.concat(labels, axis=0).numpy()

    def _read_targets(self, num_classes):
        """int8 [num_instances, num_classes]: 1, -1 for those hard to see, else 0."""
        targets = np.zeros([self.num_instances, num_classes], np.int8)
        feature = dict.fromkeys(SEVERAL_LABELS, tf.io.VarLenFeature(tf.int64))
        row = 0
        for filename, skip, take in zip(*self._files[:3], strict=True):
            records = tf.data.TFRecordDataset(filename).skip(skip).take(take)
            for record in records.prefetch(tf.data.AUTOTUNE):
                example = tf.io.parse_single_example(record, feature)
                everything, easy = (example[name].values for name in SEVERAL_LABELS)
                targets[row, everything.numpy()] = -1
                targets[row, easy.numpy()] = 1
                row += 1
        return targets
