"""How `NPID` is compiled: Keras's way, but for the checks that XLA would drop."""

import contextlib
import inspect

import keras
import tensorflow as tf

from npid_tf.banks.recent_rows import RecentRows
from npid_tf.checks import batch_checks
from npid_tf.distribution import replicas
from npid_tf.errors import UserError
from npid_tf.keras_calls.first_look import FirstLook

OF_THE_LOSS = ("loss", "metrics", "weighted_metrics", "loss_weights")


def compile_model(model, *args, **kwargs):
    """Compiles a model as `keras.Model.compile` does, XLA off unless asked for."""
    call = inspect.signature(keras.Model.compile).bind(model, *args, **kwargs)
    given = {name: value for name, value in call.arguments.items() if name != "self"}
    of_the_loss = {name: given.pop(name, None) for name in OF_THE_LOSS}
    jit_compile = given.pop("jit_compile", False)
    check_compiled(model.bank, jit_compile, **of_the_loss)
    with model.distribute_strategy.scope():
        keras.Model.compile(model, **given, jit_compile=jit_compile is True)
        check_optimizer(model)
        model.optimizer.build(model.trainable_variables)
    model._train_batch, model._test_batch = (
        in_xla(part) if model.jit_compile else part
        for part in (model._train_on, model._test_on)
    )


def check_compiled(bank, jit_compile, **arguments):
    """Raises UserError for arguments of Keras's `compile` that NPID does not take."""
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
    if jit_compile is True and isinstance(bank, RecentRows):
        raise UserError(
            "`jit_compile` is not supported with `RecentRows`: XLA cannot tell "
            "beforehand how many rows a step visits anew. Leave it out."
        )


def check_optimizer(model):
    """Raises UserError for an optimizer that cannot train the model as it is compiled,
    or was made in the scope of another strategy."""
    if model.distribute_strategy.num_replicas_in_sync > 1:
        check_for_replicas(
            model.optimizer, model.jit_compile, model.steps_per_execution
        )
    replicas.check_made_here("encoder", model.encoder.variables)
    replicas.check_made_here("optimizer", model.optimizer.variables)


def check_for_replicas(optimizer, jit_compile, steps_per_execution):
    """Raises UserError for what would differ between one replica and several."""
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


def check_outside_of_scope():
    """Raises UserError in the scope of a strategy: there TensorFlow exports what fails
    as soon as it is called."""
    if tf.distribute.has_strategy():
        raise UserError(
            "`export` must be called outside of the strategy's scope. Received: a "
            f"call in that of {replicas.describe(tf.distribute.get_strategy())}."
        )


def make_train_function(model, make, force):
    """The function of a step that `make`, Keras's own, makes: it looks at the first
    images, and its failed checks are UserErrors."""
    if model.train_function is None or force:
        with outside_of_xla(model):
            make(force)
        model._first_look = FirstLook(model)
        model.train_function = model._first_look.after_step(
            batch_checks.in_words(model.train_function)
        )
    return model.train_function


def make_test_function(model, make, force):
    """The same of a step that evaluates."""
    if model.test_function is None or force:
        with outside_of_xla(model):
            make(force)
        model.test_function = batch_checks.in_words(model.test_function)
    return model.test_function


def in_xla(part):
    """The part of a step that XLA compiles, as a function Keras does not track."""
    compiled = tf.function(
        part, autograph=False, jit_compile=True, reduce_retracing=True
    )
    return lambda *batch: compiled(*batch)


@contextlib.contextmanager
def outside_of_xla(model):
    """In it Keras makes steps that XLA does not compile as a whole: it would drop the
    checks of the batch. `in_xla` compiles the rest."""
    jit_compile, model.jit_compile = model.jit_compile, False
    try:
        yield
    finally:
        model.jit_compile = jit_compile
