"""`NPID`: instance discrimination as a Keras model (Wu et al., CVPR 2018)."""

import contextlib
import copy
import inspect

import keras
import tensorflow as tf

from npid_tf.checks import batch_checks
from npid_tf.checks.arguments import finite_number, seed_number
from npid_tf.distribution import replicas
from npid_tf.errors import UserError
from npid_tf.keras_calls import step_checks
from npid_tf.keras_calls.first_look import FirstLook, FirstLookCallback
from npid_tf.keras_calls.parts import check_averaged, check_parts


@keras.saving.register_keras_serializable("npid_tf")
class NPID(keras.Model):
    """Learns to tell every image apart from every other one.

    `fit` takes batches of (images, indices): images 0..255 [batch, height, width, 3],
    indices integers [batch], the row of each image in the bank. Calling the model, and
    `predict`, return embeddings: float32 [batch, dim], unit length.

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
        ValueError: where the parts do not fit one another, or were made in the scope of
            another strategy.
    """

    def __init__(
        self,
        encoder,
        bank,
        loss,
        proximal_weight=0.0,
        weight_decay=0.0,
        seed=0,
        name="npid",
    ):
        super().__init__(name=name)
        self.check_parts(encoder, bank, loss)
        self.encoder = encoder
        self.bank = bank
        self.instance_loss = loss
        self.proximal_weight = finite_number("proximal_weight", proximal_weight)
        self.weight_decay = finite_number("weight_decay", weight_decay)
        self.seed = seed_number(seed)
        # Steps taken, from which each step's negatives are drawn.
        self.step = self.add_weight(
            shape=(),
            dtype="int64",
            initializer="zeros",
            trainable=False,
            aggregation="only_first_replica",
            name="step",
        )
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.during_fit = contextlib.ExitStack()  # what `fit` undoes, however it ends
        self.built = True
        self._first_look = None  # Where `train_step` is called by someone's own loop.

    def call(self, images, training=False):
        return self.encoder(images, training=training)

    def check_parts(self, encoder, bank, loss):
        """Raises ValueError for parts that this model cannot be made of."""
        check_averaged(self, bank, loss)
        check_parts(encoder, bank, loss)

    def compile(
        self,
        optimizer="sgd",
        loss=None,
        loss_weights=None,
        metrics=None,
        weighted_metrics=None,
        run_eagerly=False,
        steps_per_execution=1,
        jit_compile=False,
        auto_scale_loss=True,
    ):
        """As Keras's. XLA is off unless asked for: on CPUs it is three times slower.

        XLA compiles a step but for the checks of its batch, since it drops assertions.

        Raises:
            ValueError: for a loss or metrics (the loss is the constructor's), for
                settings of the optimizer that differ between one replica and several,
                or an optimizer that was made in the scope of another strategy.
        """
        step_checks.check_compiled(
            jit_compile,
            loss=loss,
            metrics=metrics,
            weighted_metrics=weighted_metrics,
            loss_weights=loss_weights,
        )
        with self.distribute_strategy.scope():
            super().compile(
                optimizer=optimizer,
                run_eagerly=run_eagerly,
                steps_per_execution=steps_per_execution,
                jit_compile=jit_compile is True,
                auto_scale_loss=auto_scale_loss,
            )
            if self.distribute_strategy.num_replicas_in_sync > 1:
                step_checks.check_for_replicas(
                    self.optimizer, self.jit_compile, self.steps_per_execution
                )
            replicas.check_made_here("encoder", self.encoder.variables)
            replicas.check_made_here("optimizer", self.optimizer.variables)
            self.optimizer.build(self.trainable_variables)
        self._train_batch, self._test_batch = (
            step_checks.in_xla(part) if self.jit_compile else part
            for part in (self._train_on, self._test_on)
        )

    def compile_from_config(self, config):
        # Keras's own leaves a model that overrides `compile` without its optimizer.
        self.compile(**keras.saving.deserialize_keras_object(config))

    def fit(self, *args, **kwargs):
        """As Keras's. Warns once of images and indices that can hardly be meant.

        What callbacks put into `during_fit` is undone also where it raises, of which
        Keras tells no callback.
        """
        given = inspect.signature(keras.Model.fit).bind(self, *args, **kwargs).arguments
        given.pop("self")
        given["callbacks"] = self._with_own(given.get("callbacks"), given)
        with self.during_fit:
            return super().fit(**given)

    def _with_own(self, callbacks, given):
        own = self.own_callbacks(callbacks, given.get("steps_per_epoch"))
        if isinstance(callbacks, keras.callbacks.CallbackList):
            for callback in own:
                callbacks.append(callback)
            return callbacks
        return [*own, *keras.tree.flatten(callbacks if callbacks is not None else [])]

    def own_callbacks(self, callbacks, steps_per_epoch):
        """What `fit` does beside the user's callbacks: a list of callbacks."""
        return [FirstLookCallback(steps_per_epoch)]

    def export(
        self,
        filepath,
        format="tf_saved_model",
        verbose=None,
        input_signature=None,
        **kwargs,
    ):
        """As Keras's: a model from images to embeddings, the encoder without a bank.

        Raises ValueError in the scope of a strategy: there TensorFlow writes what fails
        as soon as it is called.
        """
        if tf.distribute.has_strategy():
            raise UserError(
                "`export` must be called outside of the strategy's scope. Received: a "
                f"call in that of {replicas.describe(tf.distribute.get_strategy())}."
            )
        self.encoder.export(
            filepath, format, verbose, input_signature=input_signature, **kwargs
        )

    def make_train_function(self, force=False):
        if self.train_function is None or force:
            with self._checks_outside_of_xla():
                super().make_train_function(force)
            self._first_look = FirstLook(self)
            self.train_function = self._first_look.after_step(
                batch_checks.in_words(self.train_function)
            )
        return self.train_function

    def make_test_function(self, force=False):
        if self.test_function is None or force:
            with self._checks_outside_of_xla():
                super().make_test_function(force)
            self.test_function = batch_checks.in_words(self.test_function)
        return self.test_function

    @contextlib.contextmanager
    def _checks_outside_of_xla(self):
        jit_compile, self.jit_compile = self.jit_compile, False
        yield
        self.jit_compile = jit_compile

    def train_step(self, data):
        images, indices = batch_checks.unpack(data, self.bank.num_instances)
        if replicas.num_replicas() > 1:
            images = step_checks.check_not_empty(images)
        if self._first_look is not None:
            self._first_look.look(images, indices)
        # Nothing moves, the number of steps among it, before the batch is found right.
        with batch_checks.checked(), tf.control_dependencies([indices]):
            self._train_batch(images, indices)
        return self._logs()

    def test_step(self, data):
        images, indices = batch_checks.unpack(data, self.bank.num_instances)
        with batch_checks.checked(), tf.control_dependencies([indices]):
            self._test_batch(images, indices)
        return self._logs()

    def _train_on(self, images, indices):
        with tf.GradientTape() as tape:
            embeddings = self(images, training=True)  # [batch, dim]
            losses = self._instance_losses(
                embeddings, indices, training=True
            )  # [batch]
            # Replicas may hold batches of different sizes; their gradients are summed.
            objective = tf.reduce_sum(losses) / step_checks.global_batch_size(losses)
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
        losses = self._instance_losses(self(images), indices, training=False)
        self.loss_tracker.update_state(batch_checks.nan_where_pixels(losses, images))

    def _move_rows(self, embeddings, indices, losses):
        # An embedding that is not a number leaves its row, and the loss tells of it.
        is_finite = tf.reduce_all(tf.math.is_finite(embeddings), axis=1, keepdims=True)
        self.bank.update(indices, tf.where(is_finite, embeddings, 0.0))

    def _logs(self):
        loss = self.loss_tracker.result()
        # Keras reduces what the replicas of several workers return along axis 0.
        is_multi_worker = isinstance(
            self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy
        )
        return {"loss": loss[None] if is_multi_worker else loss}

    def _instance_losses(self, embeddings, indices, training):
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

    @property
    def metrics(self):
        return [self.loss_tracker]

    def _maybe_symbolic_build(self, *args, **kwargs):
        # Keras's own takes a batch from the data set under a strategy, to build what
        # is built already, and fails on integers there.
        pass

    def get_config(self):
        return {
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "bank": keras.saving.serialize_keras_object(self.bank),
            "loss": keras.saving.serialize_keras_object(self.instance_loss),
            "proximal_weight": self.proximal_weight,
            "weight_decay": self.weight_decay,
            "seed": self.seed,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config):
        config = copy.deepcopy(config)  # Keras takes those of the parts to pieces.
        parts = {
            key: keras.saving.deserialize_keras_object(config[key])
            for key in ("encoder", "bank", "loss")
        }
        return cls(**{**config, **parts})
