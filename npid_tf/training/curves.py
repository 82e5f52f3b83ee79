"""The picture of a run."""

from npid_tf.files.whole_files import open_whole
from npid_tf.training.metrics_file import read_metrics


def plot_curves(metrics_path, image_path):
    """Draws loss, kNN accuracy and learning rate over the epochs of a metrics.jsonl."""
    import matplotlib

    matplotlib.use("Agg")  # No screen is needed.
    from matplotlib import pyplot

    lines = read_metrics(metrics_path)
    keys = ("loss", "knn_top1", "learning_rate")
    figure, axes = pyplot.subplots(1, len(keys), figsize=(12, 3.5))
    for axis, key in zip(axes, keys, strict=True):
        points = [(line["epoch"], line[key]) for line in lines if key in line]
        if points:
            axis.plot(*zip(*points, strict=True), marker=".")
        axis.set(xlabel="epoch", title=key)
    figure.tight_layout()
    with open_whole(image_path, "wb") as file:
        figure.savefig(file, format="png", dpi=100)
    pyplot.close(figure)
