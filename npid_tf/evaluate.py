"""Judges a trained encoder: `python -m npid_tf.evaluate --flagfile=WORKDIR/flags.cfg`.

Prints a table and writes it to WORKDIR/evaluation/PROTOCOL.json.
"""

import json
import os

from npid_tf.command_line import run
from npid_tf.protocols import PROTOCOLS


def write_results(config, rows):
    """Writes WORKDIR/evaluation/PROTOCOL.json and returns its path."""
    directory = os.path.join(config.workdir, "evaluation")
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, f"{config.protocol}.json")
    with open(f"{path}.partial", "w", encoding="utf-8") as file:
        json.dump({"dataset": config.dataset, "rows": rows}, file, indent=1)
    os.replace(f"{path}.partial", path)
    return path


def print_table(rows):
    """Prints rows (dicts with the same keys) as a Markdown table."""
    cells = [list(rows[0])] + [[_text(value) for value in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    for line in cells:
        padded = (cell.ljust(w) for cell, w in zip(line, widths, strict=True))
        print(f"| {' | '.join(padded)} |")


def _text(value):
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def main(config, arguments):
    if arguments:
        raise ValueError(f"Unexpected arguments: {' '.join(arguments)}.")
    if config.protocol not in PROTOCOLS:
        raise ValueError(
            f"Unknown protocol {config.protocol!r}. Known: {', '.join(PROTOCOLS)}."
        )
    rows = PROTOCOLS[config.protocol](config)
    print_table(rows)
    print(f"Written to {write_results(config, rows)}")


if __name__ == "__main__":
    run(main)
