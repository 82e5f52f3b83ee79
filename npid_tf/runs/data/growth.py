"""A run whose images came, went or were renamed: what its checkpoint makes of them.

Rows follow their images, by name and contents. Images that are there no more lose their
rows; new ones begin with the embedding that the trained encoder gives them.
"""

import os

import numpy as np

from npid_tf.checkpoints.files import newest_whole, read_state
from npid_tf.checkpoints.manifests import is_of, manifest_path, saved_manifest
from npid_tf.checkpoints.position import among_other_images
from npid_tf.data.sources.manifest import match, part_of, read_manifest
from npid_tf.data.sources.places.labels import labels_of
from npid_tf.data.sources.places.listing import Item
from npid_tf.data.sources.source import check_unchanged
from npid_tf.data.sources.splits import choose
from npid_tf.data.sources.subset import arranged
from npid_tf.errors import FileError, UserError
from npid_tf.losses.nce import NCE
from npid_tf.runs.workdir import checkpoint_directory
from npid_tf.training.initialization import begin_new_rows


def images_of(config, fingerprint):
    """The manifest of the images that a checkpoint's rows are of.

    Raises FileError where it is missing, damaged or of other images.
    """
    directory = checkpoint_directory(config)
    manifest = saved_manifest(directory, fingerprint) or _of_before(config, fingerprint)
    if manifest is None:
        raise FileError(
            "The images are not those of the checkpoint, and "
            f"{manifest_path(directory, fingerprint)} is missing, which says which "
            "image is which row of the bank: restore it or the images, or start in a "
            "new --workdir."
        )
    return manifest


def _of_before(config, fingerprint):
    """The same of WORKDIR/manifest.json, which held all parts of a folder; or None."""
    path = os.path.join(config.workdir, "manifest.json")
    if not os.path.exists(path):
        return None
    whole = read_manifest(path)
    items = [Item(name, name, 0, None) for name in whole["paths"]]
    labels, _ = labels_of(items, where=config.dataset)
    for of_each_class in (labels, None):
        chosen = choose(len(whole["paths"]), config.split, of_each_class)
        manifest = part_of(whole, chosen)
        if is_of(manifest, fingerprint):
            return manifest
    raise FileError(
        f"{path} is of other images than the checkpoint, or of another --split: it "
        "says which image is which row of the bank. Restore it, or start in a new "
        "--workdir."
    )


def since(config, fingerprint, source):
    """`Matched`: the images of a checkpoint, and those that are there now.

    None where they are the same, in the same order. Where they are known by number
    alone ValueError is raised if they differ. fingerprint: the checkpoint's.
    """
    try:
        check_unchanged(fingerprint, source.fingerprint)
    except UserError:
        if source.manifest is None or fingerprint.get("name") != "folder":
            raise
        return match(images_of(config, fingerprint), source.manifest)
    return None


def left_out_before(config, fingerprint):
    """Files that did not decode when a checkpoint was made, by its fingerprint."""
    if fingerprint.get("name") != "folder":
        return ()
    try:
        return images_of(config, fingerprint)["corrupt"]
    except UserError:
        return ()  # Told of where its images are needed.


def carry_over(model, checkpoints, path, matched, batch_size, new_images):
    """Restores the checkpoint at `path` into a model of other images.

    Z, n times a mean, is scaled by the number of images. The optimizer goes on as it
    is, its schedule at the same part of the run.

    Args:
        checkpoints: `Checkpoints` of the model.
        matched: its images, and those of the model.
        new_images: from the number of the first new image to their batches in order.

    Returns the `Position`: that of the checkpoint where all images are still there, and
    no others.
    """
    print(f"Since the last checkpoint: {matched.told()}.", flush=True)
    kept = matched.kept
    position = checkpoints.restore_from(path, kept)
    num_now = model.bank.num_instances
    if not matched.num_new and not matched.num_gone:
        return position
    model.bank.renumber(kept)
    if matched.num_new:
        first = int(kept.sum())
        begin_new_rows(model.bank, model.encoder, new_images(first), first)
    if isinstance(model.instance_loss, NCE):
        z = model.instance_loss.z
        z.assign(z.numpy() * (num_now / len(kept)))
    return among_other_images(position, len(kept), num_now, batch_size, model)


def arranged_as_trained(config, source):
    """The images that are there now, those that a run has rows of first, in their
    order. It is said how many others there are; nothing is refused."""
    try:
        matched = _since_newest(config, source)
    except FileError as error:
        print(f"Images are taken in the order of their names. {error}", flush=True)
        return source
    if matched is None:
        return source
    if not matched.is_same:
        print(f"Since the training: {matched.told()}.", flush=True)
    return arranged(source, matched.order)


def only_trained(config, source):
    """Those of the images that a run has rows of, in the order of the rows. It is said
    how many are left out. Raises ValueError where none is left."""
    matched = _since_newest(config, source)
    if matched is None:
        return source
    num_left = int(matched.kept.sum())
    if not matched.is_same:
        print(
            f"Since the training: {matched.told()}. Left out: {matched.num_new:,} "
            f"images that have no row, and {matched.num_gone:,} rows that have no "
            "image.",
            flush=True,
        )
    if not num_left:
        raise UserError(
            f"None of the {len(matched.kept):,} images of the run is in "
            f"{config.dataset} any more. Pass --dataset=DIR, where they are."
        )
    return arranged(source, matched.order[:num_left])


def rows_of(config, fingerprint, source):
    """The row of each image of a source: int64 [num_instances], -1 for those without.

    fingerprint: of the images that the rows are of.
    """
    matched = since(config, fingerprint, source)
    if matched is None:
        return np.arange(source.num_instances)
    rows = np.full(source.num_instances, -1, np.int64)
    rows[matched.number_now[matched.kept]] = np.flatnonzero(matched.kept)
    return rows


def _since_newest(config, source):
    if source.manifest is None:
        return None  # Known by number: `load_trained` refuses others.
    path = newest_whole(checkpoint_directory(config), lambda path, problem: None)
    if path is None:
        return None
    return since(config, read_state(path)["fingerprint"], source)
