"""Trains a run: `train(TrainFlags(...))`.

The workdir gets run.json, flags.cfg, metrics.jsonl, curves.png, TensorBoard logs and
checkpoints. The same call again resumes from the newest checkpoint.
"""

import os
import sys

import keras

from npid_tf.banks.refresh_neighbors import RefreshNeighbors
from npid_tf.checkpoints.checkpoints import Checkpoints, choose
from npid_tf.checkpoints.files import remove_leftovers
from npid_tf.checkpoints.position import Position, in_batches_of
from npid_tf.data.pipeline import steps_per_epoch
from npid_tf.data.sources.contents import naming_lost_files
from npid_tf.data.sources.source import digest_of, with_classes_of
from npid_tf.distribution import workers
from npid_tf.distribution.strategies import build_strategy
from npid_tf.errors import UserError
from npid_tf.files.run_lock import only_writer
from npid_tf.runs import build, data
from npid_tf.runs.auto import follow_data
from npid_tf.runs.continued import read_its_encoder, with_its_encoder
from npid_tf.runs.data.growth import carry_over
from npid_tf.runs.plan import print_changed_flags, print_plan
from npid_tf.runs.workdir import checkpoint_directory, write_run
from npid_tf.training.callbacks import (
    EpochLog,
    KNNEvaluation,
    SaveCheckpoints,
    StopOnNonFiniteLoss,
)
from npid_tf.training.curves import plot_curves
from npid_tf.training.data_wait import DataWait
from npid_tf.training.health import Health
from npid_tf.training.initialization import (
    begin_new_rows,
    initialize_by_forward_pass,
)


@naming_lost_files()
def train(config, stay=None):
    """Trains until `config.epochs` and returns the model.

    stay: names of the flags that stay as they are, where all others shall follow the
    data (`--recipe=auto`); None: all stay.

    Raises ValueError for flags or data that do not fit, or a workdir that another
    process writes to, before anything is written.
    """
    config.refuse_ignored()
    strategy = build_strategy(config.strategy)  # Workers meet before all else.
    if not workers.is_chief(strategy):
        return _train(config, stay, strategy, is_chief=False)
    with only_writer(config.workdir):
        remove_leftovers(checkpoint_directory(config))
        return _train(config, stay, strategy, is_chief=True)


def _train(config, stay, strategy, is_chief):
    directory = checkpoint_directory(config)
    saved = choose(directory, strategy)
    is_continued = saved is None and config.continue_from is not None
    if is_continued:
        config, stay = with_its_encoder(config, stay)
    source, matched = data.build_source_to_train(config, saved)
    check_same_on_all(strategy, source)
    if stay is not None:
        config = follow_data(config, stay, source)
    eval_source = data.build_eval_source(config, skip_corrupt=config.skip_corrupt)
    if eval_source is not None:
        eval_source = with_classes_of(source, eval_source)
    steps = steps_per_epoch(source.num_instances, config.batch_size)
    with strategy.scope():
        model = build.build_model(config, source.num_instances)
        model.compile(build.build_optimizer(config, steps))
    checkpoints = Checkpoints(
        directory, model, source.fingerprint, config.batch_size, source.manifest
    )
    if saved is None:
        position = Position(batch_size=config.batch_size)
        if is_continued:
            read_its_encoder(config, model.encoder)
    elif matched is None:
        position = checkpoints.restore_from(saved)
    else:
        position = carry_over(
            model,
            checkpoints,
            saved,
            matched,
            config.batch_size,
            lambda first: data.build_eval_dataset(config, source, first),
        )
    position = in_batches_of(config.batch_size, position, source.num_instances, model)
    dataset = data.build_train_dataset(config, source, position, strategy)
    if is_chief:
        data.keep_data(config, source, eval_source)
        print_plan(config, source, model, strategy, steps)
    if position.epoch >= config.epochs:
        if matched is not None:
            save_finished(config, checkpoints, matched, position, is_chief)
        print(f"Finished: {config.workdir} is trained for {position.epoch} epochs.")
        return model
    if is_continued:
        all_images = data.build_eval_dataset(config, source)
        begin_new_rows(model.bank, model.encoder, all_images, first=0)
    elif saved is None and config.bank_init.startswith("forward"):
        initialize_by_forward_pass(
            model.bank,
            model.encoder,
            data.build_eval_dataset(config, source),
            centred=config.bank_init == "forward_centred",
        )
    if saved is not None:
        print(f"Resuming at epoch {position.epoch + 1}, step {position.step + 1}.")

    callbacks = [
        StopOnNonFiniteLoss(),
        Health(data.build_eval_dataset(config, source)),
        *knn_callbacks(config, source, eval_source),
    ]
    if config.loss == "instance_classifier" and config.label_smoothing:
        callbacks.append(RefreshNeighbors())
    # Of several devices each has a buffer of its own: their waiting is not seen.
    is_one = strategy.num_replicas_in_sync == 1 and not workers.is_multi_worker(
        strategy
    )
    data_wait = DataWait() if is_one else None
    if is_chief:
        callbacks += logging_callbacks(config, position, data_wait)
    callbacks.append(
        SaveCheckpoints(checkpoints, steps, position, config.checkpoint_steps)
    )

    def fit(dataset, first_epoch, last_epoch, num_steps):
        model.fit(
            dataset if data_wait is None else data_wait.watch(dataset),
            initial_epoch=first_epoch,
            epochs=last_epoch,
            steps_per_epoch=num_steps,
            shuffle=False,  # The data set is shuffled; True only warns of that.
            callbacks=callbacks,
            verbose=(1 if sys.stdout.isatty() else 2) if is_chief else 0,
        )

    next_epoch = position.epoch
    if position.step:  # The interrupted epoch has fewer steps left than the others.
        next_epoch += 1
        fit(dataset, position.epoch, next_epoch, steps - position.step)
        position = Position(next_epoch)
        dataset = data.build_train_dataset(config, source, position, strategy)
    if next_epoch < config.epochs:
        fit(dataset, next_epoch, config.epochs, steps)
    if is_chief:
        plot_curves(
            os.path.join(config.workdir, "metrics.jsonl"),
            os.path.join(config.workdir, "curves.png"),
        )
        print(f"Finished: {config.workdir} is trained for {config.epochs} epochs.")
    return model


def check_same_on_all(strategy, source):
    """Raises ValueError where workers see different images."""
    number = int(digest_of(sorted(source.fingerprint.items()))[:12], 16)
    if (workers.all_gather(strategy, [number]) != number).any():
        raise UserError(
            f"The workers see different images, this one {source.num_instances}: "
            "--dataset must be the same for all of them."
        )


def save_finished(config, checkpoints, matched, position, is_chief):
    """Saves the rows of a run that is trained, and whose images came and went."""
    checkpoints.model.step.assign_add(1)  # Its checkpoint has a number of its own.
    checkpoints.save(position.epoch, 0)
    if is_chief:
        write_run(config)
        if matched.num_new:
            print(
                f"The {matched.num_new:,} new images have rows, by the encoder as it "
                "is. To learn them as well, pass --epochs=N, with more than "
                f"{position.epoch}.",
                flush=True,
            )


def logging_callbacks(config, position, data_wait):
    """Writes run.json and flags.cfg now, metrics.jsonl and TensorBoard's logs later."""
    print_changed_flags(os.path.join(config.workdir, "flags.cfg"), config)
    write_run(config)
    return [
        EpochLog(
            os.path.join(config.workdir, "metrics.jsonl"),
            config.batch_size,
            position.epoch,
            data_wait,
        ),
        keras.callbacks.TensorBoard(
            os.path.join(config.workdir, "tensorboard"), write_graph=False
        ),
    ]


def knn_callbacks(config, source, eval_source):
    """kNN on the bank after each epoch, where both data sets have labels."""
    if eval_source is None or eval_source.labels is None or source.labels is None:
        return []
    return [
        KNNEvaluation(
            data.build_eval_dataset(config, eval_source),
            eval_source.labels,
            source.labels,
            k=max(config.k),
            temperature=config.knn_temperature,
            every=config.knn_epochs,
        )
    ]
