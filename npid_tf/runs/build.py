"""Makes the parts of a run from its flags: encoder, model, optimizer."""

import keras
import tensorflow as tf

from npid_tf import optimizers
from npid_tf.backbones import build_backbone
from npid_tf.banks import build_rows
from npid_tf.banks.memory_bank import MemoryBank
from npid_tf.banks.placement import choose_placement
from npid_tf.checkpoints.files import (
    leave,
    newest_whole,
    num_instances_of,
    read_state,
)
from npid_tf.checkpoints.weights import (
    raise_unless_removed,
    restore_encoder,
    restore_variables,
)
from npid_tf.encoders.encoder import build_encoder
from npid_tf.errors import UserError
from npid_tf.instance_classifier import InstanceClassifier
from npid_tf.losses import build_loss
from npid_tf.npid import NPID
from npid_tf.optimizers.schedules import build_schedule
from npid_tf.runs.data.growth import rows_of
from npid_tf.runs.workdir import checkpoint_directory

NOT_TRAINED = (
    "No checkpoint in {}: nothing is trained there yet. Run `npid train` with this "
    "--workdir first."
)


def build_fresh_encoder(config):
    """The encoder with the weights that training starts from."""
    keras.utils.set_random_seed(config.seed)
    return build_encoder(
        build_backbone(config.backbone, config.image_size, width=config.width),
        config.embedding_dim,
        head=config.head,
        batch_norm_before_l2=config.head_batch_norm,
    )


def build_model(config, num_instances):
    """The model with fresh weights and rows. Call it in the scope of a strategy."""
    keras.mixed_precision.set_global_policy(config.precision)
    _check_batch_norm(config)
    # `forward` replaces the first rows before the first step, see train.py.
    init = "normal" if config.bank_init.startswith("forward") else config.bank_init
    encoder = build_fresh_encoder(config)
    loss = build_loss(
        config.loss,
        num_instances,
        config.temperature,
        negatives=config.negatives,
        num_negatives=config.num_negatives,
        z_decay=config.z_decay,
        smoothing=config.label_smoothing,
    )
    of_any_model = {"weight_decay": config.weight_decay, "seed": config.seed}
    if config.loss == "instance_classifier":
        _check_for_classifier(config)
        rows = build_rows(
            num_instances,
            config.embedding_dim,
            config.recent_negatives,
            batch_size=config.batch_size,
            num_neighbors=config.smoothing_neighbors if config.label_smoothing else 0,
            momentum=config.sgd_momentum,
            weight_decay=config.weight_decay,
            initializer=init,
            seed=config.seed,
        )
        rate = config.row_learning_rate
        return InstanceClassifier(
            encoder, rows, loss, row_learning_rate=rate, **of_any_model
        )
    bank = MemoryBank(
        num_instances,
        config.embedding_dim,
        config.bank_momentum,
        initializer=init,
        seed=config.seed,
        row_dtype=config.bank_dtype,
        placement=choose_placement(
            config.bank_placement,
            num_instances,
            config.embedding_dim,
            row_dtype=config.bank_dtype,
            strategy=tf.distribute.get_strategy(),
        ),
    )
    return NPID(
        encoder, bank, loss, proximal_weight=config.proximal_weight, **of_any_model
    )


def _check_batch_norm(config):
    if config.head_batch_norm and config.batch_size * config.views < 2:
        raise UserError(
            "`head_batch_norm` normalizes over a batch, which must hold two images or "
            f"more. Received: batch_size={config.batch_size}, views={config.views}."
        )


def _check_for_classifier(config):
    for name, expected in (
        ("bank_placement", ("auto", "sharded")),
        ("bank_dtype", ("float32",)),
        ("proximal_weight", (0.0,)),
    ):
        if getattr(config, name) not in expected:
            raise UserError(
                f"The instance classifier needs `{name}` to be "
                f"{' or '.join(map(str, expected))}. Received: {getattr(config, name)}."
            )


def build_optimizer(config, steps_per_epoch):
    """The optimizer and the schedule that the flags name."""
    schedule = build_schedule(
        config.schedule,
        config.learning_rate,
        steps_per_epoch,
        num_epochs=config.epochs,
        decay_epochs=config.decay_epochs,
        warmup_epochs=config.warmup_epochs,
    )
    return optimizers.build_optimizer(
        config.optimizer,
        schedule,
        momentum=config.sgd_momentum,
        accumulation_steps=config.accumulation_steps,
    )


def load_trained(config, source):
    """NPID as the newest whole checkpoint of the workdir has it, which is only read.

    Its bank has the rows that it was saved with. Raises ValueError where the workdir
    holds none, or one of other data than `source`, if these are known by number alone.
    """
    return load_with_rows(config, source)[0]


def load_with_rows(config, source):
    """(the same, the row of each image of the source: int64 [num_instances], -1 for
    those that came since)"""
    directory = checkpoint_directory(config)
    path = newest_whole(directory, leave)
    if path is None:
        raise UserError(NOT_TRAINED.format(config.workdir))
    try:
        state = read_state(path)
        rows = rows_of(config, state["fingerprint"], source)
        model = build_model(config, num_instances_of(path, state))
        restore_variables(path, model)
    except (OSError, tf.errors.OpError) as error:
        raise_unless_removed(path, error)
        return load_with_rows(config, source)
    return model, rows


def load_trained_encoder(config):
    """The encoder of the newest whole checkpoint alone: neither its bank nor its data.

    Raises ValueError where the workdir holds none, or one of another encoder.
    """
    keras.mixed_precision.set_global_policy(config.precision)
    encoder = build_fresh_encoder(config)
    if restore_encoder(checkpoint_directory(config), encoder) is None:
        raise UserError(NOT_TRAINED.format(config.workdir))
    return encoder
