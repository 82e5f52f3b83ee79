"""metrics.jsonl: a line of JSON for each epoch of a run."""

import json
import os
import shutil
import warnings

from npid_tf.files.whole_files import open_whole


def read_metrics(path):
    """The lines of a metrics.jsonl as dicts; empty if there is no file.

    A last line that was cut off while it was written is left out. Other damaged lines
    are left out with a warning.
    """
    lines, num_damaged = _read(path)
    if num_damaged:
        warnings.warn(
            f"{path}: {num_damaged} damaged line(s) are left out.", stacklevel=2
        )
    return lines


def keep_epochs(path, last):
    """Leaves the lines of the epochs 1..last. If lines are damaged, the file as it
    was is kept as PATH.damaged, which is said."""
    lines, num_damaged = _read(path)
    if num_damaged:
        shutil.copyfile(path, f"{path}.damaged")
        warnings.warn(
            f"{path}: {num_damaged} damaged line(s) are left out; the file as it was "
            f"is kept as {path}.damaged.",
            stacklevel=2,
        )
    with open_whole(path) as file:
        file.writelines(
            json.dumps(line) + "\n" for line in lines if line["epoch"] <= last
        )


def write_line(path, line):
    """Adds a dict as a line, on disk when this returns."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _read(path):
    """(lines, how many are damaged)"""
    if not os.path.exists(path):
        return [], 0
    with open(path, "rb") as file:
        texts = [text for text in file if text.endswith(b"\n")]
    lines = [line for line in map(_parse, texts) if line is not None]
    return lines, len(texts) - len(lines)


def _parse(text):
    """A dict of numbers with its epoch, or None if it is damaged."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(line, dict) or not isinstance(line.get("epoch"), int):
        return None
    numbers = (int, float)
    if not all(isinstance(value, numbers) for value in line.values()):
        return None
    return line
