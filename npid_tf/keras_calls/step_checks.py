"""What `NPID.compile` and its steps refuse, on one replica and on several."""

import tensorflow as tf

from npid_tf.distribution import replicas
from npid_tf.errors import UserError


def check_compiled(jit_compile, **arguments):
    """Raises ValueError for arguments of Keras's `compile` that NPID does not take."""
    for name, value in arguments.items():
        if value is not None:
            raise UserError(
                f"NPID takes its loss when it is made; `{name}` must be None. "
                f"Received: {value!r}."
            )
    if jit_compile not in (True, False, "auto"):
        raise UserError(
            f"`jit_compile` must be True or False. Received: {jit_compile!r}."
        )


def check_not_empty(images):
    """`images`, asserted to be some on each replica."""
    message = (
        "A replica got no image of a batch. Expected: at least one for each replica. "
        "Drop the last batch, `batch(size, drop_remainder=True)`, or make it larger."
    )
    with tf.control_dependencies(
        [tf.debugging.assert_positive(tf.shape(images)[0], message)]
    ):
        return tf.identity(images)


def global_batch_size(losses):
    """Images of a step over all replicas: a float32 scalar."""
    return replicas.all_reduce_sum(tf.cast(tf.shape(losses)[0], tf.float32))


def check_for_replicas(optimizer, jit_compile, steps_per_execution):
    """Raises ValueError for what would differ between one replica and several."""
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


def in_xla(part):
    """The part of a step that XLA compiles, as a function Keras does not track."""
    compiled = tf.function(
        part, autograph=False, jit_compile=True, reduce_retracing=True
    )
    return lambda *batch: compiled(*batch)
