"""Makes the parts of a run from a `Config`; besides the programs, nothing reads it."""

import os

import keras
import tensorflow as tf

from npid_tf import optimizers
from npid_tf.backbones import build_backbone
from npid_tf.banks import build_rows
from npid_tf.banks.memory_bank import MemoryBank
from npid_tf.banks.placement import choose_placement
from npid_tf.checkpoints.checkpoints import Checkpoints
from npid_tf.checkpoints.files import leave, list_checkpoints
from npid_tf.checkpoints.stratified import IN_ORDER, is_stratified
from npid_tf.checkpoints.weights import restore_encoder
from npid_tf.data.augmentation.augment import build_augmentation
from npid_tf.data.pipeline import make_eval_dataset, make_train_dataset
from npid_tf.data.sources.arrays import load_npz
from npid_tf.data.sources.digits import load_digits
from npid_tf.data.sources.image_folder import load_folder
from npid_tf.data.sources.tfds import load_tfds
from npid_tf.distribution.workers import is_multi_worker
from npid_tf.encoders.encoder import build_encoder
from npid_tf.errors import UserError
from npid_tf.instance_classifier import InstanceClassifier
from npid_tf.losses import build_loss
from npid_tf.npid import NPID
from npid_tf.optimizers.schedules import build_schedule

EVAL_BATCH_SIZE = 256
BANK_INITS = ("uniform", "normal", "forward", "forward_centred")
NOT_TRAINED = (
    "No checkpoint in {}: nothing is trained there yet. Run `python -m npid_tf.train` "
    "with the same flags first."
)


def build_source(config):
    """The images to learn. Raises ValueError for unknown or unreadable data."""
    # Before there is a checkpoint nothing ties an image to its number: the manifest of
    # a run that was refused, or never came so far, binds nobody.
    is_run = bool(list_checkpoints(checkpoint_directory(config)))
    manifest = manifest_path(config) if is_run else None
    return _load(config.dataset, config.split, config, manifest)


def build_eval_source(config):
    """The labelled images that kNN classifies, or None where no flag names any."""
    if config.eval_dataset is None and config.eval_split is None:
        return None
    dataset = config.eval_dataset or config.dataset
    # Without a manifest: no bank ties these images to their numbers.
    return _load(dataset, config.eval_split or "train", config, None)


def build_labelled_source(config):
    """The labelled images that a protocol learns from; those of --dataset unless a
    flag names others."""
    if config.labelled_dataset is None and config.labelled_split is None:
        return build_source(config)
    dataset = config.labelled_dataset or config.dataset
    return _load(dataset, config.labelled_split or "train", config, None)


def keep_data(config, source, eval_source=None):
    """Writes to the workdir of a run that begins which image has which number, and
    what spares later programs reading all images."""
    os.makedirs(config.workdir, exist_ok=True)
    source.keep(manifest_path(config))
    if eval_source is not None:
        eval_source.keep()


def manifest_path(config):
    """Where a run keeps the numbers of the files of a folder."""
    return os.path.join(config.workdir, "manifest.json")


def _load(dataset, split, config, manifest):
    kind, _, name = dataset.partition(":")
    tables = os.path.join(config.workdir, "contents")
    stratified = is_stratified(checkpoint_directory(config))
    if kind == "digits" and not name:
        source = load_digits(split)
    elif kind == "npz" and name:
        source = load_npz(name, split, stratified)
    elif kind == "tfds" and name:
        source = load_tfds(name, split, config.data_dir, tables)
    elif kind == "folder" and name:
        source = load_folder(
            name, split, manifest, config.skip_corrupt, tables, stratified
        )
    else:
        raise UserError(
            f"Unknown dataset {dataset!r}. Known: digits, tfds:NAME, folder:DIR, "
            "npz:FILE."
        )
    if not stratified:
        source.fingerprint["parts"] = IN_ORDER
    return source


def build_train_dataset(config, source, position, strategy):
    """Batches of (images, indices) from `position` (see checkpoints.py) to the end.

    On several workers, each reads its part of every batch alone.
    """

    def make(**part_of_worker):
        return make_train_dataset(
            source,
            build_augmentation(config.augmentation, config.jitter),
            config.image_size,
            config.batch_size,
            config.seed,
            config.epochs,
            position.epoch,
            position.step,
            config.crop_fraction,
            views=config.views,
            **part_of_worker,
        )

    if not is_multi_worker(strategy):
        return make()

    def make_for_worker(context):
        workers = context.num_input_pipelines
        return make(
            num_workers=workers,
            worker=context.input_pipeline_id,
            batches_per_step=context.num_replicas_in_sync // workers,
        )

    return strategy.distribute_datasets_from_function(make_for_worker)


def build_eval_dataset(config, source, first=0):
    """Batches of (images, indices) from index `first` on, nothing random."""
    return make_eval_dataset(
        source, config.image_size, EVAL_BATCH_SIZE, config.crop_fraction, first
    )


def build_fresh_encoder(config):
    """The encoder with the weights that training starts from."""
    keras.utils.set_random_seed(config.seed)
    return build_encoder(
        build_backbone(config.backbone, config.image_size, config.width),
        config.embedding_dim,
        config.head,
        config.head_batch_norm,
    )


def build_model(config, num_instances):
    """The model with fresh weights and rows. Call it in the scope of a strategy."""
    set_precision(config.precision)
    if config.bank_init not in BANK_INITS:
        raise UserError(
            f"Unknown bank_init {config.bank_init!r}. Known: {', '.join(BANK_INITS)}."
        )
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
    if config.recent_negatives is not None:
        raise UserError(
            "`recent_negatives` is of --loss=instance_classifier. Received: "
            f"loss={config.loss}, recent_negatives={config.recent_negatives}."
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


def set_precision(precision):
    """Sets Keras's precision for the layers made from now on."""
    known = ("float32", "mixed_bfloat16", "mixed_float16")
    if precision not in known:
        raise UserError(f"Unknown precision {precision!r}. Known: {', '.join(known)}.")
    keras.mixed_precision.set_global_policy(precision)


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


def checkpoint_directory(config):
    """Where the checkpoints of a run are."""
    return os.path.join(config.workdir, "checkpoints")


def load_trained(config, source):
    """NPID as the newest whole checkpoint of the workdir has it, which is only read.

    Raises ValueError where the workdir holds none, or one of other data.
    """
    model = build_model(config, source.num_instances)
    directory = checkpoint_directory(config)
    if Checkpoints(directory, model, source.fingerprint).restore(leave) is None:
        raise UserError(NOT_TRAINED.format(config.workdir))
    return model


def load_trained_encoder(config):
    """The encoder of the newest whole checkpoint alone: neither its bank nor its data.

    Raises ValueError where the workdir holds none, or one of another encoder.
    """
    set_precision(config.precision)
    encoder = build_fresh_encoder(config)
    if restore_encoder(checkpoint_directory(config), encoder) is None:
        raise UserError(NOT_TRAINED.format(config.workdir))
    return encoder
