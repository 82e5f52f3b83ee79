"""Training of class scores by SGD, whose rate falls in steps."""

import sys

import keras
import tensorflow as tf

from npid_tf.distribution import replicas
from npid_tf.errors import UserError
from npid_tf.optimizers.schedules import build_schedule


class Classifier(keras.Model):
    """A network of class scores whose last layer learns at a rate of its own.

    Keras's own `fit` has one learning rate for all variables; where one is enough, as
    for `linear_heads`, use a Keras model. Make it in the scope of the strategy that
    trains it; it learns from batches of (images, labels).

    Args:
        network: model from images to class scores [batch, num_classes].
        weight_decay: adds weight_decay * w to the gradient of every trainable w.
        head_variables: those whose learning rate is multiplied.
        head_multiplier: by what.
    """

    def __init__(
        self, network, weight_decay=0.0, head_variables=(), head_multiplier=1.0
    ):
        super().__init__(name="classifier")
        self.network = network
        self.weight_decay = weight_decay
        self.multiplied = {id(variable) for variable in head_variables}
        self.head_multiplier = head_multiplier
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.built = True

    def call(self, images, training=False):
        return self.network(images, training=training)

    def train_step(self, data):
        images, labels = data
        with tf.GradientTape() as tape:
            scores = tf.cast(self(images, training=True), tf.float32)
            losses = keras.losses.sparse_categorical_crossentropy(
                labels, scores, from_logits=True
            )  # [batch]
            # Replicas may hold batches of different sizes; their gradients are summed.
            num_images = replicas.all_reduce_sum(
                tf.cast(tf.shape(losses)[0], tf.float32)
            )
            objective = tf.reduce_sum(losses) / num_images
            if self.weight_decay:
                norms = [tf.nn.l2_loss(w.value) for w in self.trainable_variables]
                penalty = self.weight_decay * tf.add_n(norms)
                objective += penalty / replicas.num_replicas()
            objective = self.optimizer.scale_loss(objective)
        gradients = [
            gradient * (self.head_multiplier if id(w) in self.multiplied else 1.0)
            for gradient, w in zip(
                tape.gradient(objective, self.trainable_variables),
                self.trainable_variables,
                strict=True,
            )
        ]
        self.optimizer.apply_gradients(
            zip(gradients, self.trainable_variables, strict=True)
        )
        self.loss_tracker.update_state(losses)
        return {"loss": self.loss_tracker.result()}

    @property
    def metrics(self):
        return [self.loss_tracker]

    def _maybe_symbolic_build(self, *args, **kwargs):
        # As in NPID: Keras's own takes a batch from the data set under a strategy.
        pass


def train_classifier(
    model,
    dataset,
    steps_per_epoch,
    epochs,
    learning_rate,
    decay_epochs,
    drop,
    nesterov,
    **losses,
):
    """Fits a model by SGD with momentum .9 and a rate that falls in steps.

    model: `Classifier`, or a Keras model with its `losses` for `compile`; dataset:
    batches of (images, labels) of all epochs. The loss that is not finite raises
    ValueError.
    """
    schedule = build_schedule(
        "step",
        learning_rate,
        steps_per_epoch,
        num_epochs=epochs,
        decay_epochs=decay_epochs,
        drop=drop,
    )
    with model.distribute_strategy.scope():
        optimizer = keras.optimizers.SGD(schedule, momentum=0.9, nesterov=nesterov)
        model.compile(optimizer, jit_compile=False, **losses)
        model.optimizer.build(model.trainable_variables)
    history = model.fit(
        dataset,
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        shuffle=False,
        verbose=1 if sys.stdout.isatty() else 2,
    )
    loss = history.history["loss"][-1]
    if not tf.math.is_finite(loss):
        raise UserError(
            f"The loss became {loss}: training diverged. The learning rate was "
            f"{learning_rate}; a smaller --probe_batch_size makes it smaller."
        )


def with_labels(dataset, labels, num_heads=None):
    """Batches of (images, labels) from those of (images, indices).

    num_heads: of a model with several outputs, each of which gets the labels.
    """
    labels = tf.constant(labels)

    def look_up(images, indices):
        own = tf.gather(labels, indices)
        return images, own if num_heads is None else (own,) * num_heads

    return dataset.map(look_up)
