"""Every image file of a folder, decoded through each door, beside Pillow.

    python benchmarks/decoding.py --images=pillow-13.0.0/Tests/images [--files]

The doors: training (`decode` in a graph), an export's graph (`decode_plain`), what
server and programs hand to it (`as_plain`), and `decode_file`. Each file must be
equal to Pillow's image, turned as EXIF says and composed on white as RGB, within two
levels (JPEG: four); or be refused in words. Pillow's own test images are in the source
distribution of Pillow.

--files prints one line for each file that was refused or is wrong.
"""

import argparse
import collections
import io
import os
import re
import warnings

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

import measure
from npid_tf.data.decode import as_plain, decode, decode_plain
from npid_tf.data.decoding.rules import DEFAULT
from npid_tf.data.decoding.with_pillow import decode_file
from npid_tf.data.kinds import EXTENSIONS
from npid_tf.errors import UserError

LEVELS = {"JPEG": 4, "MPO": 4}
OTHER_LEVELS = 2
EQUAL, REFUSED, MORE, WRONG = "equal", "refused", "no reference", "wrong"
BYTES = tf.TensorSpec([], tf.string)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", required=True, help="a folder")
    parser.add_argument("--files", action="store_true", help="name files and reasons")
    options = parser.parse_args(arguments)
    doors = build_doors()
    counts = collections.defaultdict(collections.Counter)
    for path, data in read_files(options.images):
        kind = EXTENSIONS.get(os.path.splitext(path)[1].lower(), "other kinds")
        expected = reference(data)
        for door, read in doors.items():
            outcome, note = compare(
                read, data, expected, LEVELS.get(kind, OTHER_LEVELS)
            )
            counts[kind][door, outcome] += 1
            if options.files and outcome != EQUAL:
                print(f"{door}: {outcome}: {path}: {note}")
        counts[kind]["files"] += 1
    print(f"{measure.machine()}\n")
    rows = [row(kind, counts[kind], doors) for kind in sorted(counts)]
    measure.print_table(("kind", "files", *doors), rows)
    return counts


def build_doors():
    """{name: function of bytes, to uint8 [height, width, 3]}; errors are refusals."""
    training = tf.function(decode, input_signature=[BYTES])
    export = tf.function(decode_plain, input_signature=[BYTES])
    return {
        "training": lambda data: training(data).numpy(),
        "export": lambda data: export(data).numpy(),
        "as_plain, export": lambda data: export(as_plain(data)).numpy(),
        "decode_file": lambda data: decode_file(data, DEFAULT),
    }


def read_files(directory):
    """(path below the directory, bytes) of each file, sorted."""
    for root, folders, names in os.walk(directory):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(root, name)
            with open(path, "rb") as file:
                yield os.path.relpath(path, directory), file.read()


def reference(data):
    """Pillow's image, turned and on white, uint8 [height, width, 3]; None if it has
    none, or one of more than 8 bits, which Pillow does not scale."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data))
            image.load()
            if image.mode in ("I", "F") or image.mode.startswith("I;16"):
                transparent = image.info.get("transparency")
                values = np.asarray(ImageOps.exif_transpose(image))
                return deep_reference(np.where(values == transparent, 65535, values))
            image = ImageOps.exif_transpose(image)
            if ("A" in image.mode.upper() and image.mode != "LAB") or (
                "transparency" in image.info
            ):
                image = image.convert("RGBA")
                white = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(white, image)
            return np.asarray(image.convert("RGB"))
    except Exception:  # Broken files are among them.
        return None


def deep_reference(values):
    """The rule of `full`, by another hand; None for what it refuses."""
    values = values.astype(np.float64)
    if values.min() < 0:
        return None
    tops = [top for top in (1, 255, 65535) if values.max() <= top]
    return values, tops


def compare(read, data, expected, levels):
    """(outcome, note) of a file through one door."""
    try:
        found = read(data)
    except UserError as error:
        return REFUSED, str(error)
    except tf.errors.OpError as error:
        return REFUSED, plain(error.message)
    if expected is None:
        return MORE, ""
    if isinstance(expected, tuple):
        values, tops = expected
        candidates = [np.repeat(values[..., None] * 255 / top, 3, 2) for top in tops]
    else:
        candidates = [expected.astype(int)]
    differences = [
        np.abs(found.astype(int) - image).max()
        for image in candidates
        if image.shape == found.shape
    ]
    if differences and min(differences) <= levels:
        return EQUAL, ""
    shapes = f"{found.shape}, expected {candidates[0].shape if candidates else None}"
    return WRONG, f"{min(differences):g} levels" if differences else shapes


def plain(message):
    """The reason in an error of a graph."""
    found = re.findall(r"UserError: (.*)", message)
    return (found or [message.split("\n\t [[")[0].splitlines()[-1]])[-1]


def row(kind, counts, doors):
    cells = []
    for door in doors:
        told = [
            f"{counts[door, outcome]} {outcome}"
            for outcome in (EQUAL, REFUSED, MORE, WRONG)
            if counts[door, outcome]
        ]
        cells.append(", ".join(told))
    return kind, str(counts["files"]), *cells


if __name__ == "__main__":
    main()
