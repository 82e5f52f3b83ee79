"""The format of each artifact, and who wrote it.

A record (the JSON object that an artifact opens with) carries `"format": N` and
`"npid_tf": VERSION`. A reader asks `check_format` before it believes anything else.
"""

from npid_tf.errors import UserError
from npid_tf.files.version import __version__

# What this version writes. Those of records without a number, of before, are 0.
FORMATS = {
    "checkpoint": 1,
    "export": 1,
    "index": 1,
    "live index": 1,
    "features": 1,
    "run": 1,
    "embeddings": 1,
    "collection in Milvus": 1,
}


def stamp(kind):
    """The two entries of a new record of a kind: a dict."""
    return {"format": FORMATS[kind], "npid_tf": __version__}


def check_format(record, kind, path):
    """The number of a record's format; 0 where it is older than formats.

    record: what `path` holds, decoded.

    Raises UserError for a format that this version does not know.
    """
    number = record.get("format", 0) if isinstance(record, dict) else None
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise UserError(f"{path} is no {kind} of npid_tf, or damaged.")
    if number > FORMATS[kind]:
        raise UserError(
            f"{path} is a {kind} of format {number}, written by npid_tf "
            f"{record.get('npid_tf', '(unknown)')}. This is npid_tf {__version__}, "
            f"which reads up to format {FORMATS[kind]}: install a newer npid_tf."
        )
    return number
