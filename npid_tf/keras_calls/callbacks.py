"""The callbacks of `fit`, those of the model beside the user's."""

import inspect

import keras


def fit_arguments(model, args, kwargs):
    """The arguments of `fit` by name, with the model's own callbacks among them."""
    call = inspect.signature(keras.Model.fit).bind(model, *args, **kwargs)
    given = {name: value for name, value in call.arguments.items() if name != "self"}
    callbacks = given.get("callbacks")
    own = model._own_callbacks(listed(callbacks), given.get("steps_per_epoch"))
    if isinstance(callbacks, keras.callbacks.CallbackList):
        for callback in own:
            callbacks.append(callback)
    else:
        given["callbacks"] = [*own, *listed(callbacks)]
    return given


def listed(callbacks):
    """The callbacks that `fit` was given, in any of Keras's forms: a list."""
    inner = getattr(callbacks, "callbacks", callbacks)
    return keras.tree.flatten(inner if inner is not None else [])
