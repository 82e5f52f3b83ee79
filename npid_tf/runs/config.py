"""`Config`: what every flag is set to, with its default and its help.

All programs share these flags, so that one flagfile serves them all (absl refuses a
flagfile with an unknown flag). `runs.command_line` makes the flags of the fields.
"""

import dataclasses
import math
import os

from npid_tf.errors import UserError


def _flag(default, help_text, repeated=False, secret=False):
    """A field with its help.

    repeated: `--name=A --name=B`, where A may have commas. secret: no file of flags, no
    result and no log tells it.
    """
    metadata = {"help": help_text, "repeated": repeated, "secret": secret}
    return dataclasses.field(default=default, metadata=metadata, repr=not secret)


@dataclasses.dataclass(frozen=True)
class Config:
    """The value of every flag; the field's type and default are the flag's."""

    # Where things are.
    workdir: str = _flag("runs/digits", "Folder of the run: checkpoints, logs, results")
    # Data.
    dataset: str = _flag("digits", "digits, tfds:NAME, folder:DIR or npz:FILE")
    data_dir: str | None = _flag(None, "TFDS data_dir; None: TFDS's own default")
    split: str = _flag("train", "What to learn: a split, as in train[:90%]")
    eval_dataset: str | None = _flag(
        None, "Labelled images for kNN; None: --eval_split of --dataset"
    )
    eval_split: str | None = _flag(None, "Split of the labelled images for kNN")
    skip_corrupt: bool = _flag(False, "Leave out files that do not decode")
    image_size: int = _flag(32, "Side of the square images the encoder sees, in pixels")
    crop_fraction: float = _flag(
        1.0, "Side of the central square kept of evaluated images, as in 224/256=.875"
    )
    augmentation: str = _flag(
        "npid", "npid, npid_cifar, moco_v2, moco_v2_cifar, affine or none"
    )
    views: int = _flag(1, "Times that each image of a step is in it, augmented anew")
    jitter: str = _flag("hsv", "Hue and saturation jitter: hsv, or yiq (needs addons)")
    # Encoder.
    backbone: str = _flag("resnet18_cifar", "The convolutional network: resnet18, ...")
    width: int = _flag(64, "Channels of resnet18_cifar's first stage")
    head: str = _flag("linear", "Projection from features: linear, mlp or none")
    head_batch_norm: bool = _flag(False, "Batch norm before the head's L2 norm")
    embedding_dim: int = _flag(128, "Dimension of the embeddings")
    # Method.
    loss: str = _flag(
        "nonparametric_softmax",
        "nonparametric_softmax, nce, sampled_softmax or instance_classifier",
    )
    temperature: float = _flag(0.07, "Divides similarities in the loss (tau)")
    num_negatives: int = _flag(4096, "Negatives of nce and sampled_softmax (m)")
    negatives: str = _flag("shared", "One draw for the batch (shared), or per_sample")
    z_decay: float | None = _flag(
        None, "NCE's Z: None keeps the first batch's, .99 is a moving average"
    )
    proximal_weight: float = _flag(0.0, "Weight of Eq. 9's proximal term (lambda)")
    bank_init: str = _flag(
        "uniform", "First rows: uniform, normal, forward or forward_centred"
    )
    bank_momentum: float = _flag(0.5, "What a bank row keeps of its old value, [0, 1)")
    # The instance classifier.
    label_smoothing: float = _flag(
        0.0, "What an image's own class gives to its row's nearest rows (alpha)"
    )
    smoothing_neighbors: int = _flag(100, "How many rows share that (K)")
    row_learning_rate: float = _flag(1.0, "The rows' learning rate over the encoder's")
    recent_negatives: int | None = _flag(
        None, "Rows that a step compares and moves, those visited last; None: all"
    )
    # Optimization.
    epochs: int = _flag(200, "Times every image is seen")
    batch_size: int = _flag(128, "Images in a step, over all replicas")
    learning_rate: float = _flag(0.03, "Peak learning rate")
    schedule: str = _flag("step", "step (x.1 at --decay_epochs) or cosine")
    decay_epochs: tuple[int, ...] = _flag((120, 160), "Where the step schedule drops")
    warmup_epochs: int = _flag(0, "Epochs of linear warm-up")
    optimizer: str = _flag("sgd", "sgd, or muon, which learns faster from few epochs")
    sgd_momentum: float = _flag(0.9, "Momentum of SGD, or of Muon")
    weight_decay: float = _flag(5e-4, "L2 penalty on all encoder weights, as in SGD")
    accumulation_steps: int = _flag(1, "Batches whose gradients one update averages")
    precision: str = _flag("float32", "float32, mixed_bfloat16 or mixed_float16")
    strategy: str = _flag("auto", "auto, one_device, mirrored or multi_worker")
    bank_placement: str = _flag(
        "auto", "A copy on each device (replicated), a part on each (sharded), or auto"
    )
    bank_dtype: str = _flag("float32", "What bank rows are stored as, or bfloat16")
    seed: int = _flag(0, "Seed of weights, order, augmentation and negatives")
    # Watching and keeping.
    knn_epochs: int = _flag(1, "Epochs between kNN evaluations while training")
    checkpoint_steps: int | None = _flag(
        None, "Steps between checkpoints within an epoch; None: only at its end"
    )
    # evaluate
    protocol: str = _flag(
        "knn",
        "evaluate: knn, retrieval, diagnostics, linear_cached, linear, svm, lowshot, "
        "semi_supervised, detection or segmentation",
    )
    k: tuple[int, ...] = _flag((10, 20, 100, 200), "Neighbors: evaluate and search")
    knn_temperature: float = _flag(0.1, "kNN votes count exp(similarity / this)")
    # evaluate: linear, linear_cached, svm, lowshot, semi_supervised
    labelled_dataset: str | None = _flag(
        None, "Labelled images that these learn from; None: those of --dataset"
    )
    labelled_split: str | None = _flag(None, "Split of the images these learn from")
    layers: tuple[str, ...] = _flag(
        ("features",),
        "Judged by linear_cached, svm and lowshot: conv1 to conv5, features (what the "
        "head projects), embedding",
    )
    linear_preset: str = _flag(
        "multihead", "linear: multihead, avgpool, places205 or inat2018"
    )
    probe_epochs: int | None = _flag(
        None, "Epochs of linear and semi_supervised; None: the published number"
    )
    probe_batch_size: int = _flag(256, "Images in a step of linear, semi_supervised")
    shots: tuple[int, ...] = _flag(
        (1, 2, 4, 8, 16, 32, 64, 96), "lowshot: labelled images of a class"
    )
    lowshot_cost: str = _flag(
        "cv", "lowshot: the SVM's cost by cross-validation (cv) or by test score (test)"
    )
    label_percents: tuple[int, ...] = _flag(
        (1, 2, 4, 10, 20), "semi_supervised: labels in percent of the images"
    )
    fine_tune_rates: tuple[float, ...] = _flag(
        (0.1, 0.01, 0.001), "semi_supervised: learning rates per 256 images"
    )
    head_multipliers: tuple[int, ...] = _flag(
        (1, 10, 100), "semi_supervised: how much faster the new layer learns"
    )
    # evaluate: knn
    knn_preset: str | None = _flag(
        None, "kNN as published: paper or mmselfsup; None: all features, --k"
    )
    # evaluate: diagnostics
    max_images: int = _flag(
        50_000, "Training images compared with each other; of more, a sample"
    )
    duplicate_similarity: float = _flag(
        0.95, "Similarity from which two images count as near duplicates"
    )
    # export and search
    export_dir: str | None = _flag(None, "Folder of the exported models and index")
    recall: float = _flag(
        0.95, "export: part of the true k nearest that the index must find"
    )
    index_dtype: str = _flag(
        "float32", "export: the index keeps vectors as float32, bfloat16 or int8"
    )
    scann_saved_model: bool = _flag(
        False, "export: also a SavedModel that searches with ScaNN's ops"
    )
    engine: str = _flag("scann", "The index of DIR (scann), or milvus")
    uri: str | None = _flag(
        None, "milvus: http://HOST:19530, or the file of a Milvus Lite"
    )
    image: tuple[str, ...] = _flag(
        (), "search: an image file; repeat it, or let more follow bare", repeated=True
    )
    gallery: str | None = _flag(None, "search: also write this HTML page of neighbors")
    # evaluate: detection and segmentation
    voc_dir: str | None = _flag(None, "Folder in the format of PASCAL VOC")
    voc_splits: tuple[str, ...] = _flag(
        ("trainval", "test"), "Lists of ImageSets: to train on, and to judge by"
    )
    transfer_size: int = _flag(512, "Side that their images are resized to, in pixels")
    transfer_batch_size: int = _flag(16, "Images in a step of fine-tuning")
    transfer_steps: int = _flag(24_000, "Steps of fine-tuning")
    transfer_learning_rate: float = _flag(1e-4, "Peak learning rate of fine-tuning")
    # convert
    input: str | None = _flag(
        None, "convert: checkpoint to read, .pth, .tar, .safetensors or .npz"
    )
    source: str = _flag(
        "lemniscate", "convert: wrote it: lemniscate, mmselfsup, moco, torchvision, ..."
    )
    output: str | None = _flag(
        None, "convert: write the workdir's encoder to this .npz, .safetensors or .pth"
    )
    # serve
    host: str = _flag("127.0.0.1", "serve: address to listen at; 0.0.0.0 is all")
    port: int = _flag(8501, "serve: port of HTTP")
    grpc_port: int = _flag(8500, "serve: port of gRPC")
    api_token: str | None = _flag(
        None,
        "serve: requests must tell it, `Authorization: Bearer TOKEN`; better given in "
        "the environment, NPID_API_TOKEN, which no list of processes shows",
        secret=True,
    )
    read_only: bool = _flag(False, "serve: search, but change nothing")
    allowed_origins: tuple[str, ...] = _flag(
        (), "serve: https://NAME,... whose pages may ask, and by which it is reached"
    )
    trusted_proxies: tuple[str, ...] = _flag(
        (), "serve: addresses or networks whose X-Forwarded-Host and -Proto it believes"
    )
    root_path: str | None = _flag(
        None, "serve: the /PREFIX that a proxy leaves before the paths it passes on"
    )
    max_batch_size: int = _flag(64, "serve: images that one call of a model answers")
    batch_delay_ms: float = _flag(2.0, "serve: how long an image waits for others")
    max_body_mb: int = _flag(32, "serve: most megabytes of a request")
    max_pixels: int = _flag(50_000_000, "serve: most pixels of an image in a request")
    max_request_images: int = _flag(64, "serve: most images in a request")
    max_k: int = _flag(1000, "serve: most neighbors that a request may ask for")
    max_queue: int = _flag(
        256, "serve: most requests and images that wait; past it 503"
    )
    request_seconds: float = _flag(30.0, "serve: longest time for a request")

    def told(self):
        """{name: value} of all flags but the secret ones."""
        fields = dataclasses.fields(self)
        told = [field.name for field in fields if not field.metadata["secret"]]
        return {name: getattr(self, name) for name in told}

    def __post_init__(self):
        for name in PATHS:
            # Frozen, but not before it is made. A shell expands no `~` after a `=`.
            object.__setattr__(self, name, _expanded(getattr(self, name)))
        for name, (lowest, highest) in RANGES.items():
            value = getattr(self, name)
            values = value if isinstance(value, tuple) else (value,)
            if None not in values:
                _check_range(name, value, values, lowest, highest)
        if not self.layers:
            raise UserError("`layers` must name one layer at least.")
        if not self.workdir:
            raise UserError("`workdir` must name a folder. Received: ''.")
        if self.bank_dtype not in ("float32", "bfloat16"):
            raise UserError(
                f"Unknown bank_dtype {self.bank_dtype!r}. Known: float32, bfloat16."
            )


# Flags that name files or folders, or data that may be in one (folder:DIR).
PATHS = ("workdir", "dataset", "data_dir", "eval_dataset", "labelled_dataset")
PATHS += ("export_dir", "image", "gallery", "voc_dir", "input", "output", "uri")


def _expanded(value):
    """A path, or several, with the home folder in the place of `~`."""
    if isinstance(value, tuple):
        return tuple(_expanded(each) for each in value)
    if value is None:
        return None
    kind, _, path = value.partition(":")
    if kind in ("folder", "npz") and path:
        return f"{kind}:{os.path.expanduser(path)}"
    return os.path.expanduser(value)


# (lowest, highest) of each number; a word in place of a bound that is not itself in.
ABOVE_0, BELOW_1 = "above 0", "below 1"
RANGES = (
    dict.fromkeys(
        [
            "views",
            "image_size",
            "embedding_dim",
            "batch_size",
            "epochs",
            "knn_epochs",
            "width",
            "num_negatives",
            "accumulation_steps",
            "smoothing_neighbors",
            "probe_batch_size",
            "transfer_size",
            "transfer_batch_size",
            "transfer_steps",
            "max_batch_size",
            "max_body_mb",
            "max_pixels",
            "max_request_images",
            "max_k",
            "max_queue",
            "k",
            "shots",
            "label_percents",
            "head_multipliers",
            "probe_epochs",
            "checkpoint_steps",
            "recent_negatives",
        ],
        (1, None),
    )
    | dict.fromkeys(
        [
            "temperature",
            "learning_rate",
            "knn_temperature",
            "row_learning_rate",
            "request_seconds",
            "fine_tune_rates",
            "transfer_learning_rate",
        ],
        (ABOVE_0, None),
    )
    | dict.fromkeys(
        [
            "proximal_weight",
            "weight_decay",
            "warmup_epochs",
            "batch_delay_ms",
            "decay_epochs",
        ],
        (0, None),
    )
    | dict.fromkeys(
        ["bank_momentum", "sgd_momentum", "label_smoothing", "z_decay"], (0, BELOW_1)
    )
    | dict.fromkeys(["crop_fraction", "recall", "duplicate_similarity"], (ABOVE_0, 1))
    | {
        "max_images": (2, None),
        "seed": (0, 2**31 - 1),
        "port": (0, 65535),
        "grpc_port": (0, 65535),
    }
)


def _check_range(name, value, values, lowest, highest):
    is_in = all(
        math.isfinite(one)
        and (one > 0 if lowest == ABOVE_0 else one >= lowest)
        and (highest is None or (one < 1 if highest == BELOW_1 else one <= highest))
        for one in values
    )
    if is_in and (values or name == "decay_epochs"):
        return
    words = {
        (lowest, None): f"at least {lowest}",
        (ABOVE_0, None): "positive",
        (0, BELOW_1): "in [0, 1)",
        (ABOVE_0, 1): "in (0, 1]",
    }
    expected = words.get((lowest, highest), f"in [{lowest}, {highest}]")
    raise UserError(f"`{name}` must be {expected}. Received: {value}.")
