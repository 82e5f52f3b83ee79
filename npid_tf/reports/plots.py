"""Pictures of embeddings and of what is taken for what, for light and dark pages."""

import io

import numpy as np
from matplotlib import colormaps, style
from matplotlib.figure import Figure
from sklearn.manifold import TSNE
from sklearn.metrics import ConfusionMatrixDisplay

NUM_COLORED = 20  # classes: more cannot be told apart by color
NUM_COUNTED = 12  # classes: more counts would not fit in their cells
NUM_NAMED = 30  # classes: more names would cover each other
STYLES = {"light": "default", "dark": "dark_background"}


def tsne(embeddings, seed):
    """Places in the plane that keep neighbors together (scikit-learn's t-SNE).

    embeddings: float32 [num_points, dim], four points or more. Returns float32
    [num_points, 2].
    """
    perplexity = min(30, (len(embeddings) - 1) / 3)
    return TSNE(
        perplexity=perplexity, init="pca", random_state=seed, n_jobs=-1
    ).fit_transform(embeddings)


def draw_points(points, labels=None, class_names=None):
    """A PNG of points in the plane for each style, {"light": bytes, "dark": bytes}.

    The most frequent classes have a color each, all others are grey.

    points: [num_points, 2]; labels: int64 [num_points], or None; class_names: the name
    of each label, or None.
    """

    def draw(figure):
        axes = figure.add_subplot()
        axes.set_axis_off()
        if labels is None:
            axes.scatter(*points.T, s=6)
            return
        classes, counts = np.unique(labels, return_counts=True)
        shown = np.sort(classes[np.argsort(-counts, kind="stable")[:NUM_COLORED]])
        others = ~np.isin(labels, shown)
        if others.any():
            axes.scatter(*points[others].T, s=6, color="grey", label="other classes")
        for number, label in enumerate(shown):
            axes.scatter(
                *points[labels == label].T,
                s=6,
                color=colormaps["tab20"](number),
                label=label if class_names is None else class_names[label],
            )
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), markerscale=3)

    return _in_both_styles(draw, (8, 6))


def draw_confusion(matrix, class_names):
    """A PNG of a confusion matrix for each style, see `draw_points`.

    matrix: [num_classes, num_classes], row: true class; class_names: of each.
    """

    def draw(figure):
        axes = figure.add_subplot()
        if len(matrix) <= NUM_NAMED:
            ConfusionMatrixDisplay(matrix, display_labels=class_names).plot(
                ax=axes,
                include_values=len(matrix) <= NUM_COUNTED,
                xticks_rotation="vertical",
                colorbar=False,
            )
        else:
            figure.colorbar(axes.imshow(matrix))
            axes.set(xlabel="Predicted label", ylabel="True label")

    return _in_both_styles(draw, (7, 6))


def _in_both_styles(draw, size):
    pictures = {}
    for name, sheet in STYLES.items():
        with style.context(sheet):
            figure = Figure(figsize=size, layout="constrained")
            draw(figure)
            png = io.BytesIO()
            figure.savefig(png, format="png", dpi=100, transparent=True)
        pictures[name] = png.getvalue()
    return pictures
