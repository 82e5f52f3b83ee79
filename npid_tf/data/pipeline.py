"""From a source of images to the batches that training and evaluation read."""

import tensorflow as tf

from npid_tf.data.augmentation.crop import NUM_DRAWS, random_box
from npid_tf.data.decode import crop, pixels
from npid_tf.data.preprocess import preprocess_for_eval
from npid_tf.errors import UserError

# Larger images fill the cache one by one, and many at once would fill the memory.
LARGEST_SMALL = 64


def make_train_dataset(
    source,
    augmentation,
    image_size,
    batch_size,
    seed,
    num_epochs,
    first_epoch=0,
    first_step=0,
    crop_fraction=1.0,
    num_workers=1,
    worker=0,
    batches_per_step=1,
    views=1,
):
    """Augmented batches of all epochs, one after the other.

    Everything is a function of (seed, epoch, index), so a data set that starts at
    `first_step` of `first_epoch` continues exactly as the uninterrupted one. Each
    epoch drops its last incomplete batch, other images in every epoch.

    The images of a step are the same for any number of workers. Each worker reads its
    part only, the worker-th of num_workers, as `batches_per_step` batches in a row.

    Args:
        batch_size: images of a step, of all workers together.
        views: how many augmented views of each image are in its batch.

    Returns:
        tf.data.Dataset of (images, indices): uint8 [batch, image_size, image_size, 3],
        int64 [batch], batch = views * batch_size / (num_workers * batches_per_step).

    Raises:
        ValueError: if a batch is larger than the data, or cannot be divided.
    """
    steps_per_epoch(source.num_instances, batch_size)  # Raises for too large a batch.
    if batch_size % (num_workers * batches_per_step):
        raise UserError(
            "`batch_size` must be a multiple of the number of devices. Received: "
            f"batch_size={batch_size}, {num_workers} workers with {batches_per_step} "
            "devices each."
        )
    part = batch_size // num_workers
    mine = slice(worker * part, (worker + 1) * part)
    shape = [batches_per_step, part // batches_per_step]

    def batches_of_epoch(epoch):
        def divide(indices, handles):
            indices = tf.reshape(indices[mine], shape)
            handles = tf.reshape(handles[mine], shape)
            # A view has the draws that an epoch of its own would give it.
            draws = [
                augmentation.draws(seed, epoch * views + view, indices)
                for view in range(views)
            ]
            indices, handles = (tf.tile(x, [1, views]) for x in (indices, handles))
            return indices, handles, tf.concat(draws, axis=1)

        skipped = tf.where(epoch == first_epoch, first_step, 0)
        steps = source.shuffled(seed, epoch).batch(batch_size, drop_remainder=True)
        return steps.skip(tf.cast(skipped, tf.int64)).map(divide).unbatch()

    def augmented(indices, handles, draws):
        """The images of a batch."""
        images = source.record(handles)
        return augmentation.views(images, draws, image_size, crop_fraction), indices

    def augmented_one(index, handle, draws):
        """One image."""
        record = source.record(handle)
        if augmentation.crop_scale is None:
            image = preprocess_for_eval(
                pixels(record, source.decoding), image_size, crop_fraction
            )
        else:
            image = crop(
                record,
                lambda height, width: random_box(
                    draws[:NUM_DRAWS], height, width, augmentation.crop_scale
                ),
                source.decoding,
            )
            image = tf.image.resize(image, [image_size, image_size])
        return augmentation(_planes(image[None]), draws[None])[0], index

    batches = tf.data.Dataset.range(first_epoch, num_epochs).flat_map(batches_of_epoch)
    if _is_small(source, image_size):
        batches = batches.map(augmented, num_parallel_calls=tf.data.AUTOTUNE)
    else:
        images = batches.unbatch()
        images = images.map(augmented_one, num_parallel_calls=tf.data.AUTOTUNE)
        batches = images.batch(views * shape[1], drop_remainder=True)
    return batches.prefetch(tf.data.AUTOTUNE)


def steps_per_epoch(num_instances, batch_size):
    """Whole batches in an epoch. Raises ValueError if a batch is larger than all."""
    if batch_size > num_instances:
        raise UserError(
            f"`batch_size` must be at most the number of images. Received: "
            f"batch_size={batch_size}, {num_instances} images."
        )
    return num_instances // batch_size


def make_eval_dataset(
    source, image_size, batch_size, crop_fraction=1.0, first=0, leave_out=False
):
    """Every image from index `first` on once, in their order, nothing random.

    leave_out: pass over those that cannot be read; their indices are then missing.

    Returns:
        tf.data.Dataset of (images, indices) as in `make_train_dataset`; the last batch
        may be smaller.
    """

    def preprocess(index, handle):
        image = pixels(source.record(handle), source.decoding)
        return preprocess_for_eval(image, image_size, crop_fraction), index

    handles = source.in_order().skip(first)
    if _is_small(source, image_size):
        handles = handles.batch(batch_size)
        batches = handles.map(preprocess, num_parallel_calls=tf.data.AUTOTUNE)
    else:
        images = handles.map(preprocess, num_parallel_calls=tf.data.AUTOTUNE)
        images = images.ignore_errors() if leave_out else images
        batches = images.batch(batch_size)
    return batches.prefetch(tf.data.AUTOTUNE)


def _is_small(source, image_size):
    """Whether to read and change the images of a batch all at once."""
    shape = source.image_shape
    return shape is not None and max(*shape, image_size) <= LARGEST_SMALL


def _planes(images):
    return tf.transpose(tf.cast(images, tf.float32), [0, 3, 1, 2])
