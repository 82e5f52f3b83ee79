"""Linear classification of augmented images on a frozen encoder, all layers at once.

The multi-head presets' images are random crops (torchvision's), mirrored and, for
`multihead`, with changed colours and AlexNet's lighting; the Places205 configuration
of MMSelfSup takes crops of 224 out of 256 pixels instead.
"""

import dataclasses

from npid_tf.command_line.fields import choice, flag
from npid_tf.data.augmentation.augment import build_augmentation
from npid_tf.data.pipeline import make_train_dataset, steps_per_epoch
from npid_tf.distribution.strategies import build_local_strategy
from npid_tf.encoders.encoder import encoder_hash
from npid_tf.evaluation.accuracy import network_accuracy
from npid_tf.evaluation.classifiers.classifier import train_classifier, with_labels
from npid_tf.evaluation.classifiers.linear_heads import (
    PRESETS,
    build_heads,
    get_preset,
    losses_of_heads,
    scaled_epochs,
)
from npid_tf.protocols.labelled import LabelledFlags, count_classes, labelled_sources
from npid_tf.protocols.protocol import Protocol
from npid_tf.runs import build, data


@dataclasses.dataclass(frozen=True)
class LinearHeadsFlags(LabelledFlags):
    """How the classifiers are trained."""

    linear_preset: str = choice(PRESETS, "multihead", "A published setting")
    probe_epochs: int | None = flag(
        None, "Epochs; None: the published number", at_least=1
    )
    probe_batch_size: int = flag(256, "Images in a step", at_least=1)


def evaluate_linear_heads(config, flags):
    """Accuracy of a linear classifier on each layer of --linear_preset.

    Raises ValueError where labels, images to judge by or a checkpoint are missing, or
    where training diverges.
    """
    preset = get_preset(flags.linear_preset)
    source, eval_source = labelled_sources(config, flags, "linear_heads")
    epochs = flags.probe_epochs or preset.epochs
    batch_size = min(flags.probe_batch_size, source.num_instances)
    learning_rate = preset.learning_rate * batch_size / 256
    steps = steps_per_epoch(source.num_instances, batch_size)
    dataset = make_train_dataset(
        source,
        build_augmentation(preset.augmentation),
        config.image_size,
        batch_size,
        config.seed,
        epochs,
    )
    print(
        f"Learning rate {preset.learning_rate:g} per 256 images: {learning_rate:g} for "
        f"{batch_size}; {epochs} epochs of {steps} steps."
    )
    with build_local_strategy(config.strategy).scope():
        encoder = build.load_trained_encoder(config)
        before = encoder_hash(encoder)
        network = build_heads(
            encoder,
            preset.layers,
            count_classes(source, eval_source),
            preset.batch_norm,
            preset.weight_decay,
        )
    train_classifier(
        network,
        with_labels(dataset, source.labels, len(preset.layers)),
        steps,
        epochs,
        learning_rate,
        scaled_epochs(epochs, preset.epochs, preset.decay_epochs),
        0.1,
        preset.nesterov,
        **losses_of_heads(len(preset.layers), batch_size),
    )
    if encoder_hash(encoder) != before:
        raise RuntimeError("The frozen encoder changed while its heads were trained.")
    accuracies = network_accuracy(
        network, data.build_eval_dataset(config, eval_source), eval_source.labels
    )
    heads = [network.get_layer(f"{layer}_scores") for layer in preset.layers]
    return [
        {
            "preset": flags.linear_preset,
            "layer": layer,
            "dim": head.kernel.shape[0],
            "lr_per_256": preset.learning_rate,
            "lr": learning_rate,
            "weight_decay": preset.weight_decay,
            "epochs": epochs,
            "top1": float(top1),
            "top5": float(top5),
        }
        for layer, head, (top1, top5) in zip(
            preset.layers, heads, accuracies, strict=True
        )
    ]


def published(rows):
    """MMSelfSup's table: a column a layer, top-1 in percent."""
    names = {"features": "AvgPool", **{f"conv{i}": f"Feature{i}" for i in range(1, 6)}}
    return [{names[row["layer"]]: f"{100 * row['top1']:.2f}" for row in rows}]


PROTOCOL = Protocol(
    "linear_heads",
    evaluate_linear_heads,
    LinearHeadsFlags,
    published,
    variant="linear_preset",
)
