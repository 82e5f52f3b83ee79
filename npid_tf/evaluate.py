"""Judges a trained encoder: `python -m npid_tf.evaluate --flagfile=WORKDIR/flags.cfg`.

Prints tables and writes them to WORKDIR/evaluation/NAME.md, with all settings and
numbers in NAME.json beside it. NAME is the protocol, and its preset where it has one.
"""

import errno
import importlib.metadata
import json
import os

from npid_tf.checkpoints.files import newest_whole
from npid_tf.data.sources.contents import naming_lost_files
from npid_tf.errors import UserError
from npid_tf.files.whole_files import write_whole
from npid_tf.protocols import PAGES, PROTOCOLS
from npid_tf.runs import build
from npid_tf.runs.command_line import run

LIBRARIES = ("tensorflow", "keras", "scikit-learn")


def write_results(config, rows):
    """Writes WORKDIR/evaluation/NAME.json and .md; returns the path of the first.

    Each replaces an earlier one whole.
    """
    name = results_name(config)
    directory = os.path.join(config.workdir, "evaluation")
    path = os.path.join(directory, f"{name}.json")
    # The one that was loaded, of which those passed over were told.
    checkpoint = newest_whole(
        build.checkpoint_directory(config), pass_over=lambda path, problem: None
    )
    results = {
        "protocol": config.protocol,
        "dataset": config.dataset,
        "checkpoint": checkpoint and os.path.basename(checkpoint),
        "settings": config.told(),
        "versions": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "rows": rows,
    }
    write_whole(path, json.dumps(results, indent=1))
    title = f"# {name}: {config.workdir}, checkpoint {results['checkpoint']}"
    write_whole(
        os.path.join(directory, f"{name}.md"),
        "\n".join([title, "", *table_lines(config.protocol, rows), ""]),
    )
    return path


def results_name(config):
    """The protocol, and what its results do not compare across, as knn_paper."""
    variants = {
        "knn": config.knn_preset,
        "linear": config.linear_preset,
        "lowshot": config.lowshot_cost,
    }
    variant = variants.get(config.protocol)
    return config.protocol if variant is None else f"{config.protocol}_{variant}"


def table_lines(protocol, rows):
    """The lines of the table that MMSelfSup's model page has of a protocol, where it
    has one, and of the table of all rows."""
    lines = _markdown(rows)
    if protocol in PAGES:
        lines = [*_markdown(PAGES[protocol](rows)), "", *lines]
    return lines


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


def main(config, arguments):
    if arguments:
        raise UserError(f"Unexpected arguments: {' '.join(arguments)}.")
    if config.protocol not in PROTOCOLS:
        raise UserError(
            f"Unknown protocol {config.protocol!r}. Known: {', '.join(PROTOCOLS)}."
        )
    with naming_lost_files():
        rows = PROTOCOLS[config.protocol](config)
    print("\n".join(table_lines(config.protocol, rows)))
    try:
        print(f"Written to {write_results(config, rows)}")
    except OSError as error:  # The table is what was asked for.
        if error.errno not in (errno.EROFS, errno.EACCES):
            raise
        print(f"Not written to {config.workdir}: {error.strerror}.")


if __name__ == "__main__":
    run(main)
