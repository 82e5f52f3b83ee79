"""The images of a run: where they come from, and the batches of them."""

import os

from npid_tf.checkpoints.files import list_checkpoints
from npid_tf.checkpoints.stratified import IN_ORDER, is_stratified
from npid_tf.data.augmentation.augment import build_augmentation
from npid_tf.data.pipeline import make_eval_dataset, make_train_dataset
from npid_tf.data.sources import Place, load_source
from npid_tf.data.sources.places.listing import write_left_out
from npid_tf.distribution.workers import is_multi_worker
from npid_tf.runs.workdir import checkpoint_directory, manifest_path

EVAL_BATCH_SIZE = 256


def build_source(config):
    """The images to learn. Raises ValueError for unknown or unreadable data."""
    # Before there is a checkpoint nothing ties an image to its number: the manifest of
    # a run that was refused, or never came so far, binds nobody.
    is_run = bool(list_checkpoints(checkpoint_directory(config)))
    manifest = manifest_path(config) if is_run else None
    return load(config.dataset, config.split, config, manifest)


def build_eval_source(config):
    """The labelled images that kNN classifies, or None where no flag names any."""
    if config.eval_dataset is None and config.eval_split is None:
        return None
    dataset = config.eval_dataset or config.dataset
    # Without a manifest: no bank ties these images to their numbers.
    return load(dataset, config.eval_split or "train", config, None)


def keep_data(config, source, eval_source=None):
    """Writes to the workdir of a run that begins which image has which number, and
    what spares later programs reading all images."""
    os.makedirs(config.workdir, exist_ok=True)
    source.keep(manifest_path(config))
    if eval_source is not None:
        eval_source.keep()
    left_out = [*source.left_out, *(eval_source.left_out if eval_source else ())]
    path = os.path.join(config.workdir, "left_out.csv")
    if left_out or os.path.exists(path):  # What it told may be no longer so.
        write_left_out(path, left_out)
    if left_out:
        print(f"Listed in {path}: {len(left_out):,} files and folders left out.")


def load(dataset, split, config, manifest=None):
    """The source called `dataset`, read as the data of this run is.

    manifest: the file that ties images to their numbers, or None.
    """
    stratified = is_stratified(checkpoint_directory(config))
    place = Place(
        manifest=manifest,
        data_dir=config.data_dir,
        skip_corrupt=config.skip_corrupt,
        tables=os.path.join(config.workdir, "contents"),
        stratified=stratified,
        labels=config.labels,
    )
    source = load_source(dataset, split, place)
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
            build_augmentation(config.augmentation, jitter=config.jitter),
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


def build_eval_dataset(config, source, first=0, leave_out=False):
    """Batches of (images, indices) from index `first` on, nothing random.

    leave_out: pass over images that cannot be read.
    """
    return make_eval_dataset(
        source,
        config.image_size,
        EVAL_BATCH_SIZE,
        config.crop_fraction,
        first,
        leave_out,
    )
