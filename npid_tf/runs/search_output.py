"""What `search` prints: a table for people, JSON or CSV for programs."""

import csv
import io
import json
import sys

from npid_tf.errors.printable import printable

KEYS = ("id", "label", "similarity")


def table(paths, results):
    """Lines of a table for each file searched for, its columns as wide as needed."""
    rows = [
        (printable(found["id"]), printable(found["label"] or ""),
         f"{found['similarity']:.4f}")
        for neighbors in results
        for found in neighbors
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(KEYS, *rows, strict=True)]
    lines, rows = [], iter(rows)
    for path, neighbors in zip(paths, results, strict=True):
        lines.append(printable(path))
        for name, label, similarity in (KEYS, *(next(rows) for _ in neighbors)):
            lines.append(
                f"{name:<{widths[0]}}  {label:<{widths[1]}}  {similarity:>{widths[2]}}"
            )
    return lines


def json_lines(paths, results):
    """A line for each file: {"query": its path, "neighbors": [{"id", ...}, ...]}."""
    return [
        json.dumps({"query": path, "neighbors": neighbors})
        for path, neighbors in zip(paths, results, strict=True)
    ]


def csv_lines(paths, results):
    """A line for each neighbor, below one with the names of the columns."""
    file = io.StringIO()
    writer = csv.DictWriter(file, ("query", *KEYS), lineterminator="\n")
    writer.writeheader()
    for path, neighbors in zip(paths, results, strict=True):
        writer.writerows({"query": path, **found} for found in neighbors)
    return file.getvalue().splitlines()


# By the name of --format.
FORMATS = {"table": table, "json": json_lines, "csv": csv_lines}


def print_results(name, paths, results):
    """Prints what was found in one of FORMATS, ids whole, whatever bytes they are."""
    lines = FORMATS[name](paths, results)
    sys.stdout.flush()
    sys.stdout.buffer.write(
        "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
    )
    sys.stdout.flush()
