"""Takes other projects' weights, and gives this one's to others.

In: `python -m npid_tf.convert --input=FILE --source=lemniscate --backbone=resnet50
--image_size=224 --dataset=folder:PHOTOS --workdir=DIR`. DIR becomes a run that
`evaluate` and `export` read and that `train` goes on with.
Out: `python -m npid_tf.convert --flagfile=DIR/flags.cfg --output=FILE.safetensors`
(or .npz, or .pth for `torch.load`).
"""

import dataclasses
import os

import numpy as np

from npid_tf.checkpoints.checkpoints import Checkpoints
from npid_tf.checkpoints.files import list_checkpoints, list_damaged
from npid_tf.data.pipeline import steps_per_epoch
from npid_tf.data.sources.contents import naming_lost_files
from npid_tf.encoders.embed import embed
from npid_tf.errors import UserError
from npid_tf.files.run_lock import only_writer
from npid_tf.runs import build
from npid_tf.runs.command_line import run, write_flagfile
from npid_tf.weights.encoder_arrays import assign_encoder, read_encoder
from npid_tf.weights.files import read_file, write_file
from npid_tf.weights.sources import read_source


@naming_lost_files()
def convert_in(config):
    """As `_convert_in`, as the only one that writes to the workdir."""
    with only_writer(config.workdir):
        return _convert_in(config)


def _convert_in(config):
    """Makes `config.workdir` a run with the weights of the file `config.input`.

    The bank is the file's where it is that of these images, else their embeddings.
    Returns the run's Config. Raises ValueError, and writes no checkpoint, where a
    weight of the encoder stays unset, or the workdir has a checkpoint already.
    """
    directory = build.checkpoint_directory(config)
    if list_checkpoints(directory) or list_damaged(directory):
        raise UserError(
            f"{config.workdir} has checkpoints. Pass another --workdir, or remove it."
        )
    weights = read_source(config.source, read_file(config.input))
    config = _with_settings(config, weights)
    source = build.build_source(config)
    steps = steps_per_epoch(source.num_instances, config.batch_size)
    model = build.build_model(config, source.num_instances)
    report = assign_encoder(model.encoder, weights.arrays)
    report.unmatched += weights.left_out
    print("\n".join(report.lines()))
    if report.unset:
        raise UserError(
            f"{len(report.unset)} of the encoder's arrays stay unset, see above; no "
            f"checkpoint was written. Is it --source={config.source}, "
            f"--backbone={config.backbone} and --image_size={config.image_size}?"
        )
    dataset = build.build_eval_dataset(config, source)
    if is_bank_of(weights.bank, model.encoder, dataset, source.num_instances):
        print("Bank: the file's.")
        model.bank.assign(weights.bank)
        if weights.z is not None and config.loss == "nce":
            model.instance_loss.z.assign(weights.z)
    else:
        print(f"Bank: the embeddings of the {source.num_instances} images.")
        model.bank.assign(embed(model.encoder, dataset, source.num_instances))
    build.keep_data(config, source)
    model.compile(build.build_optimizer(config, steps))
    Checkpoints(build.checkpoint_directory(config), model, source.fingerprint).save(
        epoch=0, step=0
    )
    # Read once: what reads these flags, `--output` too, reads the checkpoint.
    config = dataclasses.replace(config, input=None)
    write_flagfile(config, os.path.join(config.workdir, "flags.cfg"))
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
        config.backbone, config.image_size, config.width
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


def convert_out(config):
    """Writes the encoder of the workdir's newest checkpoint to `config.output`."""
    model = build.load_trained(config, build.build_source(config))
    arrays = read_encoder(model.encoder)
    write_file(config.output, arrays)
    return arrays


def main(config, arguments):
    if arguments:
        raise UserError(f"Unexpected arguments: {' '.join(arguments)}.")
    if (config.input is None) == (config.output is None):
        raise UserError("Pass either --input=FILE to read or --output=FILE to write.")
    if config.input is not None:
        config = convert_in(config)
        print(f"Written to {config.workdir}: go on with its flags.cfg.")
    else:
        arrays = convert_out(config)
        print(f"Wrote {len(arrays)} arrays to {config.output}.")


if __name__ == "__main__":
    run(main)
