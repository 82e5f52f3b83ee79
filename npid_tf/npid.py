"""`NPID`: instance discrimination as a Keras model (Wu et al., CVPR 2018)."""

import contextlib

import keras
import tensorflow as tf

from npid_tf.checks import batch_checks
from npid_tf.checks.arguments import finite_number, seed_number
from npid_tf.keras_calls import compiling, steps
from npid_tf.keras_calls.callbacks import fit_arguments
from npid_tf.keras_calls.configs import config_of, with_parts
from npid_tf.keras_calls.first_look import FirstLookCallback
from npid_tf.keras_calls.parts import check_averaged, check_parts


@keras.saving.register_keras_serializable("npid_tf")
class NPID(keras.Model):
    """Learns to tell every image apart from every other one.

    `fit` takes batches of (images, indices): images 0..255 [batch, height, width, 3],
    indices integers [batch], the row of each image in the bank. Calling the model, and
    `predict`, return embeddings: float32 [batch, dim], unit length.

    The loss is the constructor's, not that of `compile`: it needs the bank, and may
    keep a weight of its own (NCE's Z), which is saved with the model.

    Args:
        encoder: model from images to unit embeddings (see `build_encoder`).
        bank: MemoryBank of the encoder's dimension.
        loss: one of `npid_tf.losses`.
        proximal_weight: lambda of Eq. 9, 0 for none.
        weight_decay: adds weight_decay * w to the gradient of every weight w of the
            encoder, as SGD does in the authors' code (Keras's own `weight_decay` is
            decoupled from the momentum: about 10 times weaker there).
        seed: of the negatives.

    Raises:
        UserError: where the parts do not fit one another, or were made in the scope of
            another strategy.

    Example:

    >>> import keras, numpy as np, npid_tf
    >>> backbone = keras.Sequential([keras.Input([8, 8, 3]), keras.layers.Flatten()])
    >>> encoder = npid_tf.build_encoder(backbone, embedding_dim=16)
    >>> bank = npid_tf.MemoryBank(num_instances=100, embedding_dim=16)
    >>> model = npid_tf.NPID(encoder, bank, npid_tf.NonparametricSoftmax(0.1))
    >>> model.compile(keras.optimizers.SGD(0.03, momentum=0.9))
    >>> images = np.zeros([100, 8, 8, 3], np.uint8)
    >>> history = model.fit(images, np.arange(100), batch_size=50, verbose=0)
    """

    def __init__(
        self,
        encoder: keras.Model,
        bank: keras.layers.Layer,
        loss: keras.layers.Layer,
        *,
        proximal_weight: float = 0.0,
        weight_decay: float = 0.0,
        seed: int = 0,
        name: str | None = None,
        **kwargs,
    ):
        super().__init__(name=name, **kwargs)
        self._check_parts(encoder, bank, loss)
        self.encoder = encoder
        self.bank = bank
        self.instance_loss = loss
        self.proximal_weight = finite_number("proximal_weight", proximal_weight)
        self.weight_decay = finite_number("weight_decay", weight_decay)
        self.seed = seed_number(seed)
        self.step = steps.add_counter(self)  # Each step's negatives are drawn from it.
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.during_fit = (
            contextlib.ExitStack()
        )  # What `fit` undoes, also if it raises.
        self.built = True
        self._first_look = None  # Where `train_step` is called by someone's own loop.

    def call(self, images, training=False):
        return self.encoder(images, training=training)

    def train_step(self, data):
        images, indices = steps.unpack(data, self.bank.num_instances)
        if self._first_look is not None:
            self._first_look.look(images, indices)
        # Nothing moves, the number of steps among it, before the batch is found right.
        with batch_checks.checked(), tf.control_dependencies([indices]):
            self._train_batch(images, indices)
        return steps.logs_of(self)

    def test_step(self, data):
        images, indices = batch_checks.unpack(data, self.bank.num_instances)
        with batch_checks.checked(), tf.control_dependencies([indices]):
            self._test_batch(images, indices)
        return steps.logs_of(self)

    def _train_on(self, images, indices):
        with tf.GradientTape() as tape:
            embeddings = self(images, training=True)  # [batch, dim]
            losses = self._losses_of(embeddings, indices, training=True)  # [batch]
            # Replicas may hold batches of different sizes; their gradients are summed.
            objective = tf.reduce_sum(losses) / steps.global_batch_size(losses)
            objective += self._regularization()
            objective = self.optimizer.scale_loss(objective)
        gradients = tape.gradient(objective, self.trainable_variables)
        self.optimizer.apply_gradients(
            zip(gradients, self.trainable_variables, strict=True)
        )
        self._move_rows(tf.stop_gradient(embeddings), indices, tf.stop_gradient(losses))
        self.step.assign_add(1)
        self.loss_tracker.update_state(batch_checks.nan_where_pixels(losses, images))

    def _test_on(self, images, indices):
        losses = self._losses_of(self(images), indices, training=False)
        self.loss_tracker.update_state(batch_checks.nan_where_pixels(losses, images))

    def _move_rows(self, embeddings, indices, losses):
        # An embedding that is not a number leaves its row, and the loss tells of it.
        is_finite = tf.reduce_all(tf.math.is_finite(embeddings), axis=1, keepdims=True)
        self.bank.update(indices, tf.where(is_finite, embeddings, 0.0))

    def _losses_of(self, embeddings, indices, training):
        seed = tf.stack([tf.constant(self.seed, tf.int64), self.step.value])
        losses = self.instance_loss(
            embeddings, indices, bank=self.bank, seed=seed, training=training
        )
        if self.proximal_weight:  # Eq. 9: lambda * ||v_i - v_i^(t-1)||^2
            moved = embeddings - self.bank.lookup(indices)
            losses += self.proximal_weight * tf.reduce_sum(tf.square(moved), axis=1)
        return losses

    def _regularization(self):
        """Weight decay and the encoder's own penalties, this replica's part of them."""
        penalty = tf.add_n([tf.zeros([]), *self.encoder.losses])
        if self.weight_decay:
            norms = [tf.nn.l2_loss(w.value) for w in self.encoder.trainable_variables]
            penalty += self.weight_decay * tf.add_n(norms)
        return penalty / self.distribute_strategy.num_replicas_in_sync

    # What follows is Keras's: how a model is made of parts, compiled, fitted and saved.

    def _check_parts(self, encoder, bank, loss):
        """Raises UserError for parts that this model cannot be made of."""
        check_averaged(self, bank, loss)
        check_parts(encoder, bank, loss)

    def compile(self, optimizer="sgd", *args, **kwargs):
        """As Keras's. XLA is off unless asked for: on CPUs it is three times slower.

        XLA compiles a step but for the checks of its batch, since it drops assertions.
        Raises UserError for a loss or metrics (the loss is the constructor's), and for
        an optimizer of another strategy, or that differs on one replica and several.
        """
        compiling.compile_model(self, optimizer, *args, **kwargs)

    def compile_from_config(self, config):
        # Keras's own leaves a model that overrides `compile` without its optimizer.
        self.compile(**keras.saving.deserialize_keras_object(config))

    def fit(self, *args, **kwargs):
        """As Keras's. Warns once of images and indices that can hardly be meant."""
        with self.during_fit:
            return super().fit(**fit_arguments(self, args, kwargs))

    def _own_callbacks(self, callbacks, steps_per_epoch):
        """What `fit` does beside the user's list of callbacks: a list of others."""
        return [FirstLookCallback(steps_per_epoch)]

    def export(self, filepath, *args, **kwargs):
        """As Keras's: a model from images to embeddings, the encoder without a bank."""
        compiling.check_outside_of_scope()
        self.encoder.export(filepath, *args, **kwargs)

    def make_train_function(self, force=False):
        return compiling.make_train_function(self, super().make_train_function, force)

    def make_test_function(self, force=False):
        return compiling.make_test_function(self, super().make_test_function, force)

    @property
    def metrics(self):
        return [self.loss_tracker]

    def _maybe_symbolic_build(self, *args, **kwargs):
        # Keras's own takes a batch from the data set under a strategy, to build what
        # is built already, and fails on integers there.
        pass

    def get_config(self):
        return {**config_of(self), "proximal_weight": self.proximal_weight}

    @classmethod
    def from_config(cls, config):
        return cls(**with_parts(config))
