"""SVMs that learn from k labelled images of each class."""

from npid_tf.evaluation.classifiers.low_shot import low_shot
from npid_tf.evaluation.classifiers.svm import unit
from npid_tf.protocols.svm import svm_data

COST_BY = {
    "cv": "cross-validation on each draw (k=1: cost 1)",
    "test": "best mean on the test images, as the original",
}


def evaluate_lowshot(config):
    """A row a layer and k: mean, least, largest and deviation over five draws.

    Raises ValueError where labels, images to judge by or a checkpoint are missing, or
    where a class has fewer than k images.
    """
    vectors, eval_vectors, targets, measure, judge = svm_data(config)
    rows = []
    for layer in config.layers:
        results = low_shot(
            unit(vectors[layer]),
            targets,
            unit(eval_vectors[layer]),
            judge,
            config.shots,
            config.lowshot_cost,
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
                    "cost by": COST_BY[config.lowshot_cost],
                }
            )
    return rows


def page(rows):
    """MMSelfSup's table: of the best layer, the mean for each k in percent."""

    def of(layer):
        return {row["k"]: row["mean"] for row in rows if row["layer"] == layer}

    layers = dict.fromkeys(row["layer"] for row in rows)
    best = max(layers, key=lambda layer: sum(of(layer).values()))
    means = {f"k={k}": f"{100 * mean:.2f}" for k, mean in of(best).items()}
    return [{"Best Layer": best, **means, "cost by": rows[0]["cost by"]}]
