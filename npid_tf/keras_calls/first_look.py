"""What can only be suspected of the data of `fit`: told once, as a warning."""

import functools
import warnings

import keras
import numpy as np
import tensorflow as tf

from npid_tf.distribution import replicas, workers

IMAGES_LOOKED_AT = 8  # of a batch
SMALL = 8.0  # Pixels of 0..255 span more, unless they are black.


class FirstLook:
    """Counts how often a model's rows are visited, and keeps the range of its images.

    A step adds its batch's indices to counters [num_instances] and looks at a few of
    its images: nothing grows with the rows but the memory, 4 bytes each.

    Args:
        model: NPID.
    """

    def __init__(self, model):
        self.model = model
        self.expects_bytes = expects_bytes(model.encoder)
        self.warned = set()
        self._has_judged = False
        bank = model.bank
        with bank.rows.strategy.scope():
            self._visits = self._make([bank.num_instances])
            # The lowest and the highest pixel, and whether one is no whole number.
            self._pixels = self._make([3])
        self.start_epoch()

    def _make(self, shape):
        return tf.Variable(
            tf.zeros(shape),
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_WRITE,
            aggregation=tf.VariableAggregation.NONE,
        )

    def _copies(self, variable):
        if isinstance(variable, tf.distribute.DistributedValues):
            return variable.values
        return [variable]

    def _own(self, variable):
        ranks = self.model.bank.rows.local_ranks
        copies = self._copies(variable)
        return copies[ranks.index(replicas.rank())] if len(copies) > 1 else copies[0]

    def look(self, images, indices):
        """Called in a step: images [batch, ...], indices int64 [batch]."""
        visits = self._own(self._visits)
        visits.scatter_add(tf.IndexedSlices(tf.ones_like(indices, tf.float32), indices))
        if images.dtype.is_floating and self.expects_bytes:
            some = tf.cast(images[:IMAGES_LOOKED_AT], tf.float32)
            pixels = self._own(self._pixels)
            seen = pixels.read_value()
            is_whole = tf.reduce_all(some == tf.round(some))
            lowest = tf.minimum(seen[0], tf.reduce_min(some))
            highest = tf.maximum(seen[1], tf.reduce_max(some))
            fractions = tf.maximum(seen[2], tf.cast(~is_whole, tf.float32))
            pixels.assign(tf.stack([lowest, highest, fractions]))

    def after_step(self, function):
        """A step's function that judges the first images it has seen."""

        @functools.wraps(function)
        def run(iterator):
            outputs = function(iterator)
            if not self._has_judged:
                self._has_judged = True
                self.judge_images()
            return outputs

        return run

    def start_epoch(self):
        for variable, value in (
            (self._visits, 0.0),
            (self._pixels, [np.inf, -np.inf, 0.0]),
        ):
            for copy in self._copies(variable):
                copy.assign(tf.fill(copy.shape, value) if value == 0.0 else value)

    def judge_images(self):
        """Warns of images that an encoder for 0..255 takes for black."""
        if "images" in self.warned or not self.expects_bytes:
            return
        pixels = np.stack([copy.numpy() for copy in self._copies(self._pixels)])
        lowest, highest = pixels[:, 0].min(), pixels[:, 1].max()
        if not pixels[:, 2].any() or not np.isfinite([lowest, highest]).all():
            return
        if highest - lowest <= SMALL and highest <= SMALL:
            self._warn(
                "images",
                f"Images of {lowest:.3g}..{highest:.3g} came, where the encoder scales "
                "0..255: it sees them all alike. Multiply those of 0..1 by 255, or "
                "build the encoder with `normalize=False`.",
            )

    def judge_rows(self, is_whole, num_steps):
        """Warns of rows that were not visited.

        is_whole: whether the data ended, so that all of it was seen, in num_steps.
        """
        if "rows" in self.warned:
            return
        counts = np.sum([copy.numpy() for copy in self._copies(self._visits)], axis=0)
        if workers.is_multi_worker(self.model.bank.rows.strategy):
            counts = workers.all_reduce_sum(self.model.bank.rows.strategy, counts)
        visited, pairs = np.count_nonzero(counts), counts.sum()
        missed = len(counts) - visited
        if not visited or not missed:
            return
        # What a last batch that is dropped leaves out is another part in every epoch.
        missed_at_most = pairs / max(1, num_steps)
        seen = f"{visited:,} of the bank's {len(counts):,} rows were visited, "
        seen += f"{pairs / visited:.3g} times each"
        # Drawn with replacement, e^-passes of them are missed by chance.
        by_chance = 1.5 * len(counts) * np.exp(-pairs / len(counts))
        is_one_pass = counts.max() == counts[counts > 0].min()
        if (is_whole and is_one_pass and missed >= missed_at_most) or (
            pairs >= len(counts) and missed > missed_at_most + by_chance
        ):
            self._warn(
                "rows",
                f"{seen}; {missed:,} were not, and stay noise that images are compared "
                "with. `indices` must be the number of each image, 0 to "
                f"{len(counts) - 1:,}, not its class, and the bank as large as the "
                "data set.",
            )

    def _warn(self, kind, message):
        if kind not in self.warned:
            self.warned.add(kind)
            warnings.warn(message, stacklevel=2)


class FirstLookCallback(keras.callbacks.Callback):
    """Judges at the end of each epoch; where an epoch is a number of steps, which may
    be a part of the data, of all of them so far."""

    def __init__(self, steps_per_epoch):
        super().__init__()
        self.steps_per_epoch = steps_per_epoch

    @property
    def first_look(self):
        return self.model._first_look

    def on_train_begin(self, logs=None):
        self.first_look.start_epoch()
        self.first_step = int(self.model.step.numpy())

    def on_epoch_begin(self, epoch, logs=None):
        if self.steps_per_epoch is None:
            self.first_look.start_epoch()
            self.first_step = int(self.model.step.numpy())

    def on_epoch_end(self, epoch, logs=None):
        self.first_look.judge_images()
        num_steps = int(self.model.step.numpy()) - self.first_step
        self.first_look.judge_rows(self.steps_per_epoch is None, num_steps)


def expects_bytes(encoder):
    """Whether an encoder scales images down itself, so that it takes 0..255."""
    return any(
        isinstance(layer, keras.layers.Rescaling)
        and np.max(np.abs(np.asarray(layer.scale))) < 1 / 16
        for layer in _layers(encoder)
    )


def _layers(model):
    for layer in getattr(model, "layers", ()):
        yield layer
        yield from _layers(layer)
