"""The flags of `train`, which make a run what it is.

They are written to WORKDIR/run.json, and every other program reads them there.
"""

import dataclasses

from npid_tf.backbones import BACKBONES
from npid_tf.command_line.fields import Flags, choice, flag
from npid_tf.data.augmentation.augment import AUGMENTATIONS, HUE_AND_SATURATION
from npid_tf.data.decoding.rules import INTENSITIES, Decoding
from npid_tf.data.sources.places import split_places
from npid_tf.distribution.strategies import STRATEGIES
from npid_tf.encoders.encoder import HEADS
from npid_tf.errors import UserError
from npid_tf.losses import LOSSES, NEGATIVES
from npid_tf.optimizers import OPTIMIZERS
from npid_tf.optimizers.schedules import SCHEDULES

BANK_INITS = ("uniform", "normal", "forward", "forward_centred")
ROW_DTYPES = ("float32", "bfloat16")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
SAMPLED = {"loss": ("nce", "sampled_softmax")}
CLASSIFIER = {"loss": ("instance_classifier",)}
# Those of a MemoryBank, whose rows are averages: all others.
AVERAGED = {"loss": tuple(name for name in LOSSES if name not in CLASSIFIER["loss"])}


@dataclasses.dataclass(frozen=True)
class TrainFlags(Flags):
    """What a run is: the value of every flag of `train`."""

    # Where things are.
    workdir: str = flag(
        "runs/digits", "Folder of the run: checkpoints, logs, results", path=True
    )
    continue_from: str | None = flag(
        None, "A run whose encoder a new one begins with, and its rows with the "
        "embeddings by it", path=True,
    )  # fmt: skip
    # Data.
    dataset: str = flag(
        "digits",
        "digits, tfds:NAME, npz:FILE, or images: DIR, FILE.zip, FILE.tar, LIST.txt, "
        "gs://..., hf:DIR, or several with commas", path=True,
    )  # fmt: skip
    data_dir: str | None = flag(
        None, "TFDS data_dir; None: TFDS's own default", path=True
    )
    split: str = flag("train", "What to learn: a split, as in train[:90%]")
    eval_dataset: str | None = flag(
        None, "Labelled images for kNN; None: --eval_split of --dataset", path=True
    )
    eval_split: str | None = flag(None, "Split of the labelled images for kNN")
    labels: str = flag(
        "folder", "Classes of files: folder (the first sub-folder), none, or FILE.csv "
        "of lines PATH,CLASS", path=True,
    )  # fmt: skip
    skip_corrupt: bool = flag(False, "Leave out files that cannot be decoded")
    background: str = flag(
        "white", "Color beneath transparent pixels: a name as in CSS, or #rrggbb"
    )
    intensity: str = choice(
        INTENSITIES, "full", "What images of more than 8 bits are scaled by"
    )
    image_size: int = flag(
        32, "Side of the square images the encoder sees, in pixels", at_least=1
    )
    crop_fraction: float = flag(
        1.0, "Side of the central square kept of evaluated images, as in 224/256=.875",
        above=0, at_most=1,
    )  # fmt: skip
    augmentation: str = choice(AUGMENTATIONS, "npid", "Random views")
    views: int = flag(1, "Views of each image in a step", at_least=1)
    jitter: str = choice(
        HUE_AND_SATURATION, "hsv", "Hue and saturation jitter; yiq needs addons"
    )
    # Encoder.
    backbone: str = choice(BACKBONES, "resnet18_cifar", "The convolutional network")
    width: int = flag(
        64, "Channels of resnet18_cifar's first stage", at_least=1,
        only_with={"backbone": ("resnet18_cifar",)},
    )  # fmt: skip
    head: str = choice(HEADS, "linear", "Projection from features")
    head_batch_norm: bool = flag(False, "Batch norm before the head's L2 norm")
    embedding_dim: int = flag(128, "Dimension of the embeddings", at_least=1)
    # Method.
    loss: str = choice(LOSSES, "nonparametric_softmax", "What is minimized")
    temperature: float = flag(0.07, "Divides similarities in the loss (tau)", above=0)
    num_negatives: int = flag(
        4096, "Negatives drawn per step (m)", at_least=1, only_with=SAMPLED
    )
    negatives: str = choice(
        NEGATIVES, "shared", "One draw for the batch, or one per sample",
        only_with=SAMPLED,
    )  # fmt: skip
    z_decay: float | None = flag(
        None, "NCE's Z: None keeps the first batch's, .99 is a moving average",
        at_least=0, below=1, only_with={"loss": ("nce",)},
    )  # fmt: skip
    proximal_weight: float = flag(
        0.0, "Weight of Eq. 9's proximal term (lambda)", at_least=0, only_with=AVERAGED
    )
    bank_init: str = choice(BANK_INITS, "uniform", "First rows")
    bank_momentum: float = flag(
        0.5, "Weight of a row's old value in its update, [0, 1)", at_least=0, below=1,
        only_with=AVERAGED,
    )  # fmt: skip
    # The instance classifier.
    label_smoothing: float = flag(
        0.0, "Part of an image's label that its row's nearest rows share (alpha)",
        at_least=0, below=1, only_with=CLASSIFIER,
    )  # fmt: skip
    smoothing_neighbors: int = flag(
        100, "How many rows share that (K)", at_least=1, only_with=CLASSIFIER
    )
    row_learning_rate: float = flag(
        1.0, "The rows' learning rate over the encoder's", above=0, only_with=CLASSIFIER
    )
    recent_negatives: int | None = flag(
        None, "Rows compared and moved in a step, the last visited; None: all",
        at_least=1, only_with=CLASSIFIER,
    )  # fmt: skip
    # Optimization.
    epochs: int = flag(200, "Times every image is seen", at_least=1)
    batch_size: int = flag(128, "Images in a step, over all replicas", at_least=1)
    learning_rate: float = flag(0.03, "Peak learning rate", above=0)
    schedule: str = choice(SCHEDULES, "step", "Learning rate over the epochs")
    decay_epochs: tuple[int, ...] = flag(
        (120, 160), "Epochs where the step schedule drops to a tenth", at_least=0,
        may_be_empty=True, only_with={"schedule": ("step",)},
    )  # fmt: skip
    warmup_epochs: int = flag(
        0, "Epochs of linear warm-up", at_least=0, only_with={"schedule": ("cosine",)}
    )
    optimizer: str = choice(OPTIMIZERS, "sgd", "What moves the encoder's weights")
    sgd_momentum: float = flag(0.9, "Momentum of SGD, or of Muon", at_least=0, below=1)
    weight_decay: float = flag(
        5e-4, "L2 penalty on all encoder weights, as in SGD", at_least=0
    )
    accumulation_steps: int = flag(
        1, "Batches whose gradients one update averages", at_least=1
    )
    precision: str = choice(PRECISIONS, "float32", "Of the computation")
    strategy: str = choice(STRATEGIES, "auto", "Which devices train")
    bank_placement: str = choice(
        ("auto", "replicated", "sharded"), "auto",
        "A copy of the bank on each device, or a part on each",
    )  # fmt: skip
    bank_dtype: str = choice(ROW_DTYPES, "float32", "What bank rows are stored as")
    seed: int = flag(
        0, "Seed of weights, order, augmentation and negatives",
        at_least=0, at_most=2**31 - 1,
    )  # fmt: skip
    # Watching and keeping.
    k: tuple[int, ...] = flag(
        (10, 20, 100, 200), "Neighbors of kNN; while training the largest", at_least=1
    )
    knn_temperature: float = flag(
        0.1, "kNN votes count exp(similarity / this)", above=0
    )
    knn_epochs: int = flag(1, "Epochs between kNN evaluations", at_least=1)
    checkpoint_steps: int | None = flag(
        None, "Steps between checkpoints within an epoch; None: only at its end",
        at_least=1,
    )  # fmt: skip

    def __post_init__(self):
        super().__post_init__()
        if not self.workdir:
            raise UserError("`workdir` must name a folder. Received: ''.")
        if "-" in split_places(self.dataset):
            raise UserError(
                "`dataset` of a run must be there for the programs that come after it, "
                "and standard input is not. Received: -. Write the list to a file, and "
                "pass --dataset=LIST.txt."
            )
        Decoding(self.background)


# The first flag of each group, in the order of the fields.
TITLES = {
    "workdir": "where things are",
    "dataset": "data",
    "backbone": "encoder",
    "loss": "method",
    "label_smoothing": "the instance classifier",
    "epochs": "optimization",
    "k": "evaluating and saving while training",
}


def groups():
    """{title: fields}, as `--help` lists them."""
    found = {}
    for field in dataclasses.fields(TrainFlags):
        title = TITLES.get(field.name) or next(reversed(found))
        found.setdefault(title, []).append(field)
    return found


# What another program may be given in place of what the run has: where the data is
# now, and on which devices to compute. All else is the run's.
OF_ANY_PROGRAM = (
    "workdir",
    "dataset",
    "data_dir",
    "split",
    "eval_dataset",
    "eval_split",
    "labels",
    "skip_corrupt",
    "image_size",
    "crop_fraction",
    "precision",
    "strategy",
    "seed",
)
