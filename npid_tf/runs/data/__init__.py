"""The images of a run: where they come from, and the batches of them."""

import os

from npid_tf.checkpoints.files import list_checkpoints, read_state
from npid_tf.checkpoints.stratified import IN_ORDER, is_stratified
from npid_tf.data.augmentation.augment import build_augmentation
from npid_tf.data.decoding.rules import Decoding
from npid_tf.data.pipeline import make_eval_dataset, make_train_dataset
from npid_tf.data.sources import Place, load_source
from npid_tf.data.sources.manifest import refuse_corrupt
from npid_tf.data.sources.places.listing import write_left_out
from npid_tf.data.sources.subset import arranged
from npid_tf.distribution.workers import is_multi_worker
from npid_tf.runs.data.growth import (
    arranged_as_trained,
    left_out_before,
    only_trained,
    since,
)
from npid_tf.runs.workdir import checkpoint_directory

EVAL_BATCH_SIZE = 256


def build_source(config):
    """The images of a run that are there now, in the order of its rows; those that it
    has no rows of are the last ones. It is said how many came and went.

    Raises ValueError for unknown or unreadable data, and files that do not decode; of
    a run that has learned, these are left out, and named.
    """
    return arranged_as_trained(config, _load_all(config))


def build_source_of_rows(config):
    """The same without those that the run has no rows of."""
    return only_trained(config, _load_all(config))


def _load_all(config):
    has_learned = bool(list_checkpoints(checkpoint_directory(config)))
    skip_corrupt = config.skip_corrupt or has_learned
    return load(config.dataset, config.split, config, skip_corrupt)


def build_source_to_train(config, checkpoint):
    """(source, `Matched` or None): the images to learn, as `build_source`, and what
    came and went since the checkpoint at this path (None: there is none).

    Raises ValueError for unknown or unreadable data; and for files that do not decode,
    but with --skip_corrupt or if they did not when the run began.
    """
    if checkpoint is None:
        return load(config.dataset, config.split, config, config.skip_corrupt), None
    fingerprint = read_state(checkpoint)["fingerprint"]
    known = left_out_before(config, fingerprint)
    skip_corrupt = config.skip_corrupt or bool(known)
    source = load(config.dataset, config.split, config, skip_corrupt)
    if known and not config.skip_corrupt:
        _refuse_others(config, source, known)
    matched = since(config, fingerprint, source)
    if matched is None:
        return source, None
    return arranged(source, matched.order), None if matched.is_same else matched


def _refuse_others(config, source, known):
    """Raises ValueError for files that do not decode, other than the known ones."""
    corrupt, known = source.manifest["corrupt"], set(known)
    others = [name for name in corrupt if name not in known]
    reasons = {each.path: each.detail for each in source.left_out}
    num_files = source.num_instances + len(corrupt)
    refuse_corrupt(config.dataset, others, num_files, reasons)


def build_eval_source(config, *, skip_corrupt=True):
    """The labelled images that kNN classifies, or None where no flag names any.

    skip_corrupt: False: what does not decode is refused.
    """
    if config.eval_dataset is None and config.eval_split is None:
        return None
    dataset = config.eval_dataset or config.dataset
    return load(dataset, config.eval_split or "train", config, skip_corrupt)


def keep_data(config, source, eval_source=None):
    """Writes to the workdir of a run that begins what spares later programs reading
    all images."""
    os.makedirs(config.workdir, exist_ok=True)
    sources = [each for each in (source, eval_source) if each is not None]
    for each in sources:
        each.keep()
    left_out = list(dict.fromkeys(one for each in sources for one in each.left_out))
    path = os.path.join(config.workdir, "left_out.csv")
    if left_out or os.path.exists(path):  # What it told may be no longer so.
        write_left_out(path, left_out)
    if left_out:
        print(f"Listed in {path}: {len(left_out):,} files and folders left out.")


def load(dataset, split, config, skip_corrupt=True):
    """The source called `dataset`, read as the data of this run is.

    skip_corrupt: whether what does not decode is left out, and told of, or refused.
    """
    stratified = is_stratified(checkpoint_directory(config))
    place = Place(
        data_dir=config.data_dir,
        skip_corrupt=skip_corrupt,
        tables=os.path.join(config.workdir, "contents"),
        stratified=stratified,
        labels=config.labels,
        decoding=Decoding(config.background, config.intensity),
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
