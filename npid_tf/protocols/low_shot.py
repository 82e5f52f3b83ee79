"""SVMs that learn from k labelled images of each class."""

import dataclasses

from npid_tf.command_line.fields import choice, flag
from npid_tf.evaluation.classifiers.low_shot import low_shot
from npid_tf.evaluation.classifiers.svm import unit
from npid_tf.protocols.labelled import LayerFlags
from npid_tf.protocols.protocol import Protocol
from npid_tf.protocols.svm import svm_data

COST_BY = {
    "cv": "cross-validation on each draw (k=1: cost 1)",
    "test": "best mean on the test images, as the original",
}


@dataclasses.dataclass(frozen=True)
class LowShotFlags(LayerFlags):
    """How many labelled images the SVMs learn from, and how their cost is chosen."""

    shots: tuple[int, ...] = flag(
        (1, 2, 4, 8, 16, 32, 64, 96), "Labelled images of a class", at_least=1
    )
    lowshot_cost: str = choice(
        COST_BY, "cv", "The SVM's cost by cross-validation (cv) or by test score (test)"
    )


def evaluate_low_shot(config, flags):
    """A row a layer and k: mean, least, largest and deviation over five draws.

    Raises ValueError where labels, images to judge by or a checkpoint are missing, or
    where a class has fewer than k images.
    """
    vectors, eval_vectors, targets, measure, judge = svm_data(config, flags, "low_shot")
    rows = []
    for layer in flags.layers:
        results = low_shot(
            unit(vectors[layer]),
            targets,
            unit(eval_vectors[layer]),
            judge,
            flags.shots,
            flags.lowshot_cost,
            config.seed,
        )
        for k, result in results.items():
            costs = " ".join(f"{cost:.3g}" for cost in result.pop("costs"))
            rows.append(
                {
                    "layer": layer,
                    "measure": measure,
                    "k": k,
                    **result,
                    "costs": costs,
                    "cost by": COST_BY[flags.lowshot_cost],
                }
            )
    return rows


def published(rows):
    """MMSelfSup's table: of the best layer, the mean for each k in percent."""

    def of(layer):
        return {row["k"]: row["mean"] for row in rows if row["layer"] == layer}

    layers = dict.fromkeys(row["layer"] for row in rows)
    best = max(layers, key=lambda layer: sum(of(layer).values()))
    means = {f"k={k}": f"{100 * mean:.2f}" for k, mean in of(best).items()}
    return [{"Best Layer": best, **means, "cost by": rows[0]["cost by"]}]


PROTOCOL = Protocol(
    "low_shot", evaluate_low_shot, LowShotFlags, published, variant="lowshot_cost"
)
