"""The format of each artifact, and the version that wrote it.

A record (the JSON object that an artifact opens with) carries `"format": N` and
`"npid_tf": VERSION`. A reader calls `check_format` before it uses anything else.
"""

from npid_tf.errors import UserError
from npid_tf.files.version import __version__

# The formats that this version writes. Records without a number have format 0.
FORMATS = {
    "checkpoint": 1,
    "export": 1,
    "index": 1,
    "live index": 1,
    "features": 1,
    "run": 1,
    "embeddings": 1,
    "pictures": 1,
    "collection in Milvus": 1,
}


def stamp(kind):
    """The two entries of a new record: a dict."""
    return {"format": FORMATS[kind], "npid_tf": __version__}


def check_format(record, kind, path):
    """The number of a record's format; 0 if it has none.

    record: the decoded content of `path`.

    Raises UserError for a format that this version does not know.
    """
    number = record.get("format", 0) if isinstance(record, dict) else None
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise UserError(f"{path} is damaged, or not a {kind} of npid_tf.")
    if number > FORMATS[kind]:
        raise UserError(
            f"{path} has format {number} of a {kind}, written by npid_tf "
            f"{record.get('npid_tf', '(unknown)')}. This is npid_tf {__version__}, "
            f"which reads up to format {FORMATS[kind]}: install a newer npid_tf."
        )
    return number
