"""The configs of models that are made of an encoder, a bank and a loss."""

import copy

import keras


def config_of(model):
    """What all such models are made of again: a dict."""
    serialize = keras.saving.serialize_keras_object
    return {
        **keras.Model.get_config(model),
        "encoder": serialize(model.encoder),
        "bank": serialize(model.bank),
        "loss": serialize(model.instance_loss),
        "weight_decay": model.weight_decay,
        "seed": model.seed,
    }


def with_parts(config):
    """The same with its parts made: the arguments of the model."""
    config = copy.deepcopy(config)  # Keras takes those of the parts to pieces.
    parts = {
        name: keras.saving.deserialize_keras_object(config[name])
        for name in ("encoder", "bank", "loss")
    }
    return {**config, **parts}
