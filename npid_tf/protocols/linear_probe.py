"""Linear classification of vectors that are computed once: minutes on a CPU."""

from npid_tf.distribution.strategies import build_local_strategy
from npid_tf.evaluation.classifiers.linear_probe import accuracy, sweep
from npid_tf.protocols.labelled import (
    LayerFlags,
    count_classes,
    labelled_sources,
    layer_vectors,
)
from npid_tf.protocols.protocol import Protocol
from npid_tf.runs import build


def evaluate_linear_probe(config, flags):
    """Accuracy of logistic regression on each layer, trained and untrained.

    The images are the central crops, without augmentation; the penalty is chosen on a
    tenth of the training images.
    Raises ValueError where labels, images to judge by or a checkpoint are missing.
    """
    source, eval_source = labelled_sources(config, flags, "linear_probe")
    num_classes = count_classes(source, eval_source)
    rows = []
    with build_local_strategy(config.strategy).scope():
        encoders = {
            "trained": build.load_trained_encoder(config),
            "untrained": build.build_fresh_encoder(config),
        }
        for name, encoder in encoders.items():
            vectors = layer_vectors(config, encoder, source, flags.layers)
            eval_vectors = layer_vectors(config, encoder, eval_source, flags.layers)
            for layer in flags.layers:
                classifier, weight_decay, held_out = sweep(
                    vectors[layer], source.labels, num_classes, config.seed
                )
                top1, top5 = accuracy(
                    classifier, eval_vectors[layer], eval_source.labels
                )
                rows.append(
                    {
                        "encoder": name,
                        "layer": layer,
                        "dim": vectors[layer].shape[1],
                        "weight_decay": weight_decay,
                        "held_out_top1": held_out[weight_decay],
                        "top1": top1,
                        "top5": top5,
                    }
                )
    return rows


PROTOCOL = Protocol("linear_probe", evaluate_linear_probe, LayerFlags)
