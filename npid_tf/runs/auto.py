"""`--recipe=auto`: flags that follow the data and the device.

`choose` is the recipe: what it takes for a number of images, their size and the device,
each with the reason. `follow_data` puts it in the place of what was not given.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from npid_tf.data.decoding.with_pillow import open_header

AUTO = "auto"
SAMPLE = 64  # images that are looked at for their size
# Views that a run may learn from, at the size of photographs and at that of CIFAR's
# images: some ten minutes to half an hour of two CPU cores, or some hours of a GPU.
VIEWS_ON_CPU = {"photographs": 60_000, "small": 960_000}
VIEWS_ON_GPU = {"photographs": 40_000_000, "small": 40_000_000}


def choose(num_images, side, on_gpu):
    """{flag: (value, why)} for so many images, their shorter side `side` pixels long.

    num_images: at least 2. The values fit each other whatever else is given.
    """
    n, size = num_images, _image_size(side, on_gpu)
    device = "a GPU" if on_gpu else "CPU cores"
    is_small = size <= 64
    batch_size = _power_of_two(
        n / 8, min(4, n), 256 if on_gpu and n >= 100_000 else 128
    )
    kind = "small" if is_small else "photographs"
    views = (VIEWS_ON_GPU if on_gpu else VIEWS_ON_CPU)[kind]
    most, least = (200, 30) if on_gpu else (200, 8) if n <= 100_000 else (200, 3)
    epochs = int(np.clip(views / (2 * n), least, most))
    large = n > (5_000_000 if on_gpu else 1_000_000)
    width = (64 if on_gpu else 16) if is_small else None
    if is_small:
        backbone = "resnet18_cifar"
    else:
        backbone = "resnet50" if on_gpu and n >= 100_000 else "resnet18"
    found = {
        "image_size": (size, f"their shorter side has {side} pixels, on {device}"),
        "crop_fraction": (1.0 if is_small else 0.875, "the middle of photographs"),
        "backbone": (backbone, f"for images of {size} pixels, on {device}"),
        **({"width": (width, f"what {device} can learn")} if width else {}),
        "augmentation": ("moco_v2_cifar" if is_small else "moco_v2", "as published"),
        "views": (2, "each step learns more of an image"),
        "head_batch_norm": (True, "keeps few epochs from collapsing"),
        "loss": (
            ("nce", "comparing with all rows would take most of the time")
            if large
            else ("nonparametric_softmax", "all images can be compared with")
        ),
        **({"z_decay": (0.99, "Z of the first batch alone is noisy")} if large else {}),
        "temperature": (_temperature(n), f"{n:,} images"),
        "bank_init": (
            ("uniform", "a forward pass of so many would delay the first step")
            if n > 100_000
            else ("forward", "rows that mean something from the first step")
        ),
        "batch_size": (batch_size, f"an eighth of {n:,} images at most, but for few"),
        "epochs": (epochs, f"about {2 * n * epochs:,} views, for {device}"),
        "optimizer": ("muon", "learned most in 8 epochs of CIFAR-10"),
        "learning_rate": (0.03, "Muon's"),
        "schedule": ("cosine", "ends low, whatever the number of epochs"),
        "k": (_neighbors(n), f"at most half of {n:,} images"),
    }
    if on_gpu:
        found["precision"] = ("mixed_bfloat16", "GPUs have units for it")
    return found


def _image_size(side, on_gpu):
    """The largest of the usual sizes that images have, at least 32; less where they are
    smaller themselves."""
    if side < 32:
        return max(12, side - side % 4)
    usual = (32, 64, 96, 224) if on_gpu else (32, 64, 96)
    return max(size for size in usual if size <= side)


def _temperature(num_images):
    for most, value in ((2_000, 0.2), (20_000, 0.1), (200_000, 0.05)):
        if num_images <= most:
            return value
    return 0.07  # The paper's, for a million.


def _power_of_two(value, least, most):
    return int(np.clip(2 ** int(np.log2(max(value, 1))), least, most))


def _neighbors(num_images):
    fitting = tuple(k for k in (10, 20, 100, 200) if k <= num_images // 2)
    return fitting or (max(1, min(5, num_images // 2)),)


def follow_data(config, given, source):
    """The flags of a run that begins: as given, else as `choose` says.

    config: TrainFlags; given: names of those that stay; source: the images. Prints what
    was chosen, and why. Raises ValueError where what was given does not fit.
    """
    side = shorter_side(source)
    on_gpu = bool(tf.config.list_logical_devices("GPU"))
    chosen = choose(source.num_instances, side, on_gpu)
    if "width" in given:
        chosen["backbone"] = "resnet18_cifar", "--width is of it"
    backbone = config.backbone if "backbone" in given else chosen["backbone"][0]
    if backbone != "resnet18_cifar":
        chosen.pop("width", None)
    loss = config.loss if "loss" in given else chosen["loss"][0]
    if loss != "nce":
        chosen.pop("z_decay", None)
    free = {name: one for name, one in chosen.items() if name not in given}
    print(f"Recipe: auto, for {source.num_instances:,} images of about {side} pixels. "
          "Chosen, where no flag says otherwise:")  # fmt: skip
    for name, (value, why) in free.items():
        told = ",".join(map(str, value)) if isinstance(value, tuple) else value
        print(f"  --{name}={told}".ljust(40) + why)
    if source.num_instances < 1000:
        print("So few images teach little: more of the same kind help most.")
    values = {name: value for name, (value, _) in free.items()}
    config = dataclasses.replace(config, **values)
    config.refuse_ignored()
    return config


def shorter_side(source):
    """The median of the shorter sides of a sample of a source's images, in pixels."""
    if source.image_shape is not None:
        return int(min(source.image_shape))
    step = max(1, source.num_instances // SAMPLE)
    numbers = range(0, source.num_instances, step)[:SAMPLE]
    return int(np.median([min(_size(source.read(number))) for number in numbers]))


def _size(record):
    """(width, height) of a record, an image or the bytes of a file."""
    if record.dtype != tf.string:
        return record.shape[1], record.shape[0]
    with open_header(record.numpy()) as image:
        return image.size
