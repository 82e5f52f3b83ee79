"""The files of results: WORKDIR/evaluation/NAME.json and NAME.md."""

import importlib.metadata
import json
import os

from npid_tf.checkpoints.files import newest_whole
from npid_tf.files.whole_files import write_whole
from npid_tf.runs.workdir import checkpoint_directory

LIBRARIES = ("tensorflow", "keras", "scikit-learn")


def write_results(config, protocol, flags, rows):
    """Writes WORKDIR/evaluation/NAME.json and .md; returns the path of the first.

    Each replaces an earlier one whole.
    """
    name = results_name(protocol, flags)
    directory = os.path.join(config.workdir, "evaluation")
    path = os.path.join(directory, f"{name}.json")
    # The one that was loaded, of which those passed over were told.
    checkpoint = newest_whole(
        checkpoint_directory(config), pass_over=lambda path, problem: None
    )
    results = {
        "protocol": protocol.name,
        "dataset": config.dataset,
        "checkpoint": checkpoint and os.path.basename(checkpoint),
        "settings": {**config.told(), **flags.told()},
        "versions": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "rows": rows,
    }
    write_whole(path, json.dumps(results, indent=1))
    title = f"# {name}: {config.workdir}, checkpoint {results['checkpoint']}"
    write_whole(
        os.path.join(directory, f"{name}.md"),
        "\n".join([title, "", *all_tables(protocol, rows), ""]),
    )
    return path


def results_name(protocol, flags):
    """The protocol, and what its results do not compare across, as knn_paper."""
    variant = protocol.variant and getattr(flags, protocol.variant)
    return protocol.name if variant is None else f"{protocol.name}_{variant}"


def table_lines(protocol, rows):
    """The lines of the one table that is printed: that which MMSelfSup's model page has
    of a protocol, where it has one, else that of all rows."""
    if protocol.published is None:
        return _markdown(rows)
    return _markdown(protocol.published(rows))


def all_tables(protocol, rows):
    """The lines of that table, and of all rows where they are another one."""
    lines = table_lines(protocol, rows)
    return lines if protocol.published is None else [*lines, "", *_markdown(rows)]


def _markdown(rows):
    """The lines of a Markdown table of rows: dicts with the same keys."""
    cells = [list(rows[0])] + [[_text(value) for value in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    padded = [
        [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        for line in cells
    ]
    return [f"| {' | '.join(line)} |" for line in padded]


def _text(value):
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.1e}"
