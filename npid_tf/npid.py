"""`NPID`: instance discrimination as a Keras model (Wu et al., CVPR 2018)."""

import contextlib

import keras
import tensorflow as tf

from npid_tf import replicas
from npid_tf.errors import UserError


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
        ValueError: where encoder and bank differ in dimension.
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
        if encoder.output_shape[-1] != bank.embedding_dim:
            raise UserError(
                "`bank` must have the encoder's dimension. Received: "
                f"{bank.embedding_dim}, and an encoder of {encoder.output_shape[-1]}."
            )
        self.encoder = encoder
        self.bank = bank
        self.instance_loss = loss
        self.proximal_weight = proximal_weight
        self.weight_decay = weight_decay
        self.seed = seed
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

    def call(self, images, training=False):
        return self.encoder(images, training=training)

    def compile(self, optimizer="sgd", jit_compile=False, **kwargs):
        """As Keras's. XLA is off unless asked for: on CPUs it is three times slower.

        Raises:
            ValueError: for a loss or metrics (the loss is the constructor's), or for
                settings of the optimizer that differ between one replica and several.
        """
        for argument in ("loss", "metrics", "weighted_metrics", "loss_weights"):
            if kwargs.get(argument) is not None:
                raise UserError(
                    f"NPID takes its loss when it is made; `{argument}` must be None."
                )
        super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)
        if self.distribute_strategy.num_replicas_in_sync > 1:
            _check_for_replicas(self.optimizer, jit_compile, self.steps_per_execution)
        with self.distribute_strategy.scope():
            self.optimizer.build(self.trainable_variables)

    def fit(self, *arguments, **options):
        """As Keras's. What callbacks put into `during_fit` is undone also where it
        raises, of which Keras tells no callback."""
        with self.during_fit:
            return super().fit(*arguments, **options)

    def compile_from_config(self, config):
        # Keras's own leaves a model that overrides `compile` without its optimizer.
        self.compile(**keras.saving.deserialize_keras_object(config))

    def train_step(self, data):
        images, indices = _unpack(data)
        if replicas.num_replicas() > 1:
            images = _check_not_empty(images)
        with tf.GradientTape() as tape:
            embeddings = self(images, training=True)  # [batch, dim]
            losses = self._instance_losses(
                embeddings, indices, training=True
            )  # [batch]
            # Replicas may hold batches of different sizes; their gradients are summed.
            objective = tf.reduce_sum(losses) / _global_batch_size(losses)
            objective += self._regularization()
            objective = self.optimizer.scale_loss(objective)
        gradients = tape.gradient(objective, self.trainable_variables)
        self.optimizer.apply_gradients(
            zip(gradients, self.trainable_variables, strict=True)
        )
        self._move_rows(tf.stop_gradient(embeddings), indices, tf.stop_gradient(losses))
        self.step.assign_add(1)
        self.loss_tracker.update_state(losses)
        return self._logs()

    def test_step(self, data):
        images, indices = _unpack(data)
        losses = self._instance_losses(self(images), indices, training=False)
        self.loss_tracker.update_state(losses)
        return self._logs()

    def _move_rows(self, embeddings, indices, losses):
        self.bank.update(indices, embeddings)

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
        parts = {
            key: keras.saving.deserialize_keras_object(config.pop(key))
            for key in ("encoder", "bank", "loss")
        }
        return cls(**parts, **config)


def _unpack(data):
    images, indices, weights = keras.utils.unpack_x_y_sample_weight(data)
    if indices is None or weights is not None:
        raise UserError(
            "NPID trains on batches of (images, indices), where `indices` number the "
            "images. Received: "
            + ("images alone." if indices is None else "sample weights as well.")
        )
    indices = tf.convert_to_tensor(indices)  # NumPy's, where a batch is run eagerly.
    if not indices.dtype.is_integer:
        raise UserError(
            "`indices` must be integers, the number of each image. Received: "
            f"{indices.dtype.name}."
        )
    return images, tf.cast(indices, tf.int64)


def _check_not_empty(images):
    message = (
        "A replica got no image of a batch. Expected: at least one for each replica. "
        "Drop the last batch, `batch(size, drop_remainder=True)`, or make it larger."
    )
    with tf.control_dependencies(
        [tf.debugging.assert_positive(tf.shape(images)[0], message)]
    ):
        return tf.identity(images)


def _global_batch_size(losses):
    return replicas.add_up(tf.cast(tf.shape(losses)[0], tf.float32))


def _check_for_replicas(optimizer, jit_compile, steps_per_execution):
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    for name in ("gradient_accumulation_steps", "clipnorm", "global_clipnorm"):
        if getattr(inner, name, None):
            raise UserError(
                f"The optimizer's `{name}` is not supported on more than one replica: "
                "Keras applies it to each replica's own gradients. Use one device, or "
                "leave it out."
            )
    for name, value in (
        ("jit_compile", jit_compile),
        ("steps_per_execution", steps_per_execution > 1),
    ):
        if value:
            raise UserError(
                f"`{name}` is not supported on more than one replica: TensorFlow does "
                "not run the replicas' exchange inside it. Use one device, or leave it "
                "out."
            )
