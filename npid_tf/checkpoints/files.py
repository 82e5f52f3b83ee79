"""Whether the files of a checkpoint are as they were written, and which one to read.

manifest.json holds the size and the SHA-256 of every other file of the folder, and its
own: {"format", "npid_tf", "files": {NAME: {"size", "sha256"}}, "sha256"}. Checking
them reads all of it once, about a second for each GB on one core. Checkpoints of
before formats have no manifest, see `unsigned.py`.
"""

import errno
import hashlib
import json
import os
import shutil

from npid_tf.banks.files import list_rows
from npid_tf.checkpoints.unsigned import check_unsigned
from npid_tf.errors import FileError
from npid_tf.files.checksums import sha256_of
from npid_tf.files.formats import check_format, stamp
from npid_tf.files.whole_files import sync_folder

MANIFEST, STATE = "manifest.json", "state.json"
DAMAGED = ".damaged"
# What a damaged disk or folder says. No right to read, or no memory, is no damage.
_OF_DAMAGE = (errno.EIO, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)


def list_checkpoints(directory):
    """Paths of the checkpoints in `directory`, oldest first."""
    return [os.path.join(directory, name) for name in _names(directory, str.isdigit)]


def list_damaged(directory):
    """Paths of those that were set aside."""
    names = _names(directory, lambda name: DAMAGED in name)
    return [os.path.join(directory, name) for name in names]


def _names(directory, is_wanted):
    if not os.path.isdir(directory):
        return []
    return sorted(filter(is_wanted, os.listdir(directory)))


def write_manifest(path):
    """Writes the manifest of the files that are in the folder `path`."""
    files = {
        name: {"size": os.path.getsize(file), "sha256": sha256_of(file)}
        for name in sorted(os.listdir(path))
        for file in [os.path.join(path, name)]
    }
    record = {**stamp("checkpoint"), "files": files}
    record["sha256"] = _digest_of_record(record)
    with open(os.path.join(path, MANIFEST), "w", encoding="utf-8") as file:
        file.write(_text(record))


def _text(record):
    return json.dumps(record, indent=1)


def _digest_of_record(record):
    # Later formats keep this, so that a damaged manifest is not taken for a newer one.
    rest = {key: value for key, value in record.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def read_state(path):
    """The record of a checkpoint: position, data, shapes. Raises FileError."""
    record, _ = _read_json(os.path.join(path, STATE))
    kinds = {"epoch": int, "step": int, "fingerprint": dict}
    kinds |= {"shapes": list, "loss_tracker": list}
    for key, kind in kinds.items():
        if not isinstance(record.get(key), kind):
            raise FileError(f"{os.path.join(path, STATE)} is damaged: no {key}.")
    return record


def _read_json(path):
    """(a JSON object, its text)"""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        record = json.loads(text)
    except ValueError as error:  # of JSON, and of UTF-8
        raise FileError(f"{path} is damaged: {error}.") from error
    if not isinstance(record, dict):
        raise FileError(f"{path} is damaged: no JSON object.")
    return record, text


def find_damage(path):
    """What is wrong with a checkpoint, in words; None where it is whole.

    All of it is read. Raises UserError for a format that this version does not know,
    OSError where it may not be read.
    """
    return _in_words(_check, path)


def find_missing(path):
    """As `find_damage`, by the sizes of the files alone."""
    return _in_words(_check_sizes, path)


def _in_words(check, path):
    try:
        check(path)
    except FileError as error:
        return str(error)
    except OSError as error:
        if error.errno not in _OF_DAMAGE:
            raise
        return f"{error.filename or path}: {error.strerror}."
    return None


def _check(path):
    files = _check_sizes(path)
    for name, saved in files.items():
        if sha256_of(os.path.join(path, name)) != saved["sha256"]:
            raise FileError(f"{os.path.join(path, name)} is not as it was written.")
    state = read_state(path)
    rows_files = list_rows(path, num_instances_of(path, state))
    if not files:
        check_unsigned(path, rows_files)


def num_instances_of(path, state):
    """How many rows a checkpoint has, by its `read_state`. Raises FileError."""
    try:
        return int(state["shapes"][0][1][0])  # The bank's are the first.
    except (LookupError, TypeError, ValueError) as error:
        raise FileError(f"{path} is damaged: no shape of the bank.") from error


def _check_sizes(path):
    """The manifest's files, all of their size; none where it is of before formats."""
    manifest = os.path.join(path, MANIFEST)
    if not os.path.exists(manifest) and "format" not in read_state(path):
        return {}
    record, text = _read_json(manifest)
    if record.get("sha256") != _digest_of_record(record) or text != _text(record):
        raise FileError(f"{manifest} is not as it was written.")
    check_format(record, "checkpoint", path)
    for name, saved in record["files"].items():
        size = os.path.getsize(os.path.join(path, name))
        if size != saved["size"]:
            raise FileError(
                f"{os.path.join(path, name)} has {size:,} bytes. Expected: "
                f"{saved['size']:,}."
            )
    for name in os.listdir(path):
        if name.endswith(".npy") and name not in record["files"]:
            raise FileError(f"{os.path.join(path, name)} is not of this checkpoint.")
    return record["files"]


def newest_whole(directory, pass_over):
    """Path of the newest whole checkpoint in `directory`; None where there is none.

    pass_over: `set_aside`, or `leave`, called with the path and what is wrong of each
    newer one.

    Raises FileError where there are some, all of them damaged.
    """
    problems = []
    saved = list_checkpoints(directory)
    while saved:
        path = saved.pop()
        problem = find_damage(path)
        if problem is None:
            return path
        if not os.path.exists(path):  # Another process trains on, and removed it.
            saved = list_checkpoints(directory)
            continue
        problems.append(problem)
        pass_over(path, problem)
    if problems or list_damaged(directory):
        raise FileError(
            f"No checkpoint in {directory} is whole: "
            f"{' '.join(problems) or 'those that were are set aside as damaged.'} "
            "Nothing is started afresh: copy one back from elsewhere, remove this "
            "folder, or use another --workdir."
        )
    return None


def set_aside(path, problem):
    """Renames a damaged checkpoint, so that it is not chosen again, and says so."""
    place, number = f"{path}{DAMAGED}", 1
    while os.path.exists(place):
        number += 1
        place = f"{path}{DAMAGED}.{number}"
    os.rename(path, place)
    sync_folder(os.path.dirname(path))
    print(
        f"Warning: checkpoint {os.path.basename(path)} is damaged, and was set aside "
        f"as {place}. {problem}",
        flush=True,
    )


def leave(path, problem):
    """Says that a damaged checkpoint is passed over; it stays as it is."""
    print(
        f"Warning: checkpoint {os.path.basename(path)} is damaged, an older one is "
        f"used. {problem}",
        flush=True,
    )


def remove(path):
    """Removes a checkpoint: a folder with a number is whole at every moment."""
    removed = os.path.join(os.path.dirname(path), ".removed")
    shutil.rmtree(removed, ignore_errors=True)
    os.rename(path, removed)
    shutil.rmtree(removed)


def remove_leftovers(directory):
    """Removes what a process that was killed left half written, or half removed."""
    for name in (".partial", ".removed"):
        shutil.rmtree(os.path.join(directory, name), ignore_errors=True)
