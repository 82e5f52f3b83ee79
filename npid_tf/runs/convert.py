"""Takes other projects' weights, and gives this one's to others."""

import dataclasses

import numpy as np

from npid_tf.checkpoints.checkpoints import Checkpoints
from npid_tf.checkpoints.files import list_checkpoints, list_damaged
from npid_tf.command_line.fields import Flags, choice, flag
from npid_tf.data.pipeline import steps_per_epoch
from npid_tf.data.sources.contents import naming_lost_files
from npid_tf.encoders.embed import embed
from npid_tf.errors import UserError
from npid_tf.files.run_lock import only_writer
from npid_tf.runs import build, data
from npid_tf.runs.workdir import checkpoint_directory, write_run
from npid_tf.weights.encoder_arrays import assign_encoder, read_encoder
from npid_tf.weights.files import read_file, write_file
from npid_tf.weights.sources import SOURCES, read_source


@dataclasses.dataclass(frozen=True)
class ConvertFlags(Flags):
    """Which weights are read or written."""

    input: str | None = flag(
        None, "Checkpoint to read: .pth, .tar, .safetensors or .npz", path=True
    )
    source: str = choice(SOURCES, "lemniscate", "The project that wrote it")
    output: str | None = flag(
        None,
        "Write the encoder of the run to this .npz, .safetensors or .pth",
        path=True,
    )


@naming_lost_files()
def convert_in(config, flags):
    """As `_convert_in`, as the only one that writes to the workdir."""
    with only_writer(config.workdir):
        return _convert_in(config, flags)


def _convert_in(config, flags):
    """Makes `config.workdir` a run with the weights of the file `flags.input`.

    The bank is the file's where it is that of these images, else their embeddings.
    Returns the run's TrainFlags. Raises ValueError, and writes no checkpoint, where a
    weight of the encoder stays unset, or the workdir has a checkpoint already.
    """
    directory = checkpoint_directory(config)
    if list_checkpoints(directory) or list_damaged(directory):
        raise UserError(
            f"{config.workdir} has checkpoints. Pass another --workdir, or remove it."
        )
    weights = read_source(flags.source, read_file(flags.input))
    config = _with_settings(config, weights)
    source, _ = data.build_source_to_train(config, None)
    steps = steps_per_epoch(source.num_instances, config.batch_size)
    model = build.build_model(config, source.num_instances)
    report = assign_encoder(model.encoder, weights.arrays)
    report.unmatched += weights.left_out
    print("\n".join(report.lines()))
    if report.unset:
        raise UserError(
            f"{len(report.unset)} of the encoder's arrays stay unset, see above; no "
            f"checkpoint was written. Is it --source={flags.source}, "
            f"--backbone={config.backbone} and --image_size={config.image_size}?"
        )
    dataset = data.build_eval_dataset(config, source)
    if is_bank_of(weights.bank, model.encoder, dataset, source.num_instances):
        print("Bank: the file's.")
        model.bank.assign(weights.bank)
        if weights.z is not None and config.loss == "nce":
            model.instance_loss.z.assign(weights.z)
    else:
        print(f"Bank: the embeddings of the {source.num_instances} images.")
        model.bank.assign(embed(model.encoder, dataset, source.num_instances))
    data.keep_data(config, source)
    model.compile(build.build_optimizer(config, steps))
    directory = checkpoint_directory(config)
    Checkpoints(directory, model, source.fingerprint, manifest=source.manifest).save(
        epoch=0, step=0
    )
    write_run(config)
    return config


def _with_settings(config, weights):
    """`config` with what the file says of head, bank and loss."""
    settings = {
        "head": weights.head,
        "head_batch_norm": weights.head_batch_norm,
        "embedding_dim": weights.embedding_dim or _num_features(config),
        "bank_momentum": weights.momentum,
        "temperature": weights.temperature,
    }
    settings = {name: value for name, value in settings.items() if value is not None}
    told = ", ".join(f"--{name}={value}" for name, value in settings.items())
    print(f"From the file: {told}.")
    return dataclasses.replace(config, **settings)


def _num_features(config):
    return build.build_backbone(
        config.backbone, config.image_size, width=config.width
    ).output.shape[-1]


def is_bank_of(bank, encoder, dataset, num_instances):
    """Whether there is a bank and its row i belongs to image i: the first batch tells.

    Orders differ between readers of one data set: TFDS's is not torchvision's.
    """
    if bank is None:
        return False
    shape = (num_instances, encoder.output_shape[-1])
    if bank.shape != shape:
        print(
            f"The file's bank is {list(bank.shape)}, that of the images {list(shape)}."
        )
        return False
    images, indices = next(iter(dataset))
    embeddings = np.asarray(encoder(images))
    similarities = embeddings @ np.asarray(bank, np.float32)[indices].T
    is_nearest = similarities.argmax(axis=1) == np.arange(len(images))
    if is_nearest.mean() <= 0.5:
        print("The file's bank is of other images, or of these in another order.")
        return False
    return True


def convert_out(config, output):
    """Writes the encoder of the workdir's newest checkpoint to `output`; no image is
    read."""
    arrays = read_encoder(build.load_trained_encoder(config))
    write_file(output, arrays)
    return arrays
