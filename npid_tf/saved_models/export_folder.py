"""The folder of an export, while a new one is written into it.

DIR/.partial holds what is being written; export.json in it names the
version, and a lock keeps a second export out. Models are renamed to DIR/MODEL/N, one by
one; which of them is served, the index tells, whose folder is exchanged last and in one
step. If Milvus has the index, the encoder comes last. So a process that is killed
leaves the former export in service, and the next one removes what it left.
"""

import contextlib
import fcntl
import json
import os
import shutil
import warnings

from npid_tf.errors import UserError
from npid_tf.files.checksums import read_json
from npid_tf.files.folder_swap import put_folder, recover, standing
from npid_tf.files.formats import check_format, stamp
from npid_tf.files.whole_files import move_folder, write_whole
from npid_tf.search.index_files import read_manifest

MODELS = ("neighbors_scann", "neighbors", "encoder")
RECORD, LOCK = "export.json", "lock"


class NewExport:
    """What is written to take the place of an export.

    Attributes:
        partial: the folder to write into: MODEL/ for each model, and index/.
        version: N of its models.
    """

    def __init__(self, export_dir):
        self.export_dir = export_dir
        self.partial = os.path.join(export_dir, ".partial")
        self.version = _next_version(export_dir)

    def publish(self):
        """Puts everything in its place; from its last rename on it is served.

        Raises ValueError, and moves nothing, if index/ does not name these models.
        """
        index = os.path.join(self.partial, "index")
        has_models = any(
            os.path.isdir(os.path.join(self.partial, model)) for model in MODELS
        )
        if has_models and os.path.isdir(index):
            self._check_names_models(index)
        record = {**stamp("export"), "version": self.version}
        record["last"] = "index" if os.path.isdir(index) else "encoder"
        write_whole(os.path.join(self.partial, RECORD), json.dumps(record))
        for model in MODELS:
            source = os.path.join(self.partial, model)
            if os.path.isdir(source):
                os.makedirs(os.path.join(self.export_dir, model), exist_ok=True)
                move_folder(source, _place(self.export_dir, model, self.version))
        if record["last"] == "index":
            put_folder(index, os.path.join(self.export_dir, "index"))

    def _check_names_models(self, index):
        try:
            version = read_manifest(index).get("version")
        except UserError as error:
            raise UserError(
                f"The engine wrote an index without a readable manifest: {error}"
            ) from error
        if version != self.version:
            raise UserError(
                "The manifest of the new index must have the version of its models, "
                f"{self.version}. Received: {version}."
            )


@contextlib.contextmanager
def new_export(export_dir):
    """A `NewExport` to fill and `publish`; what is not published is removed.

    Raises ValueError if another process is exporting there, OSError if it cannot
    be written.
    """
    with _locked(export_dir):
        new = NewExport(export_dir)  # No number is given twice: before the cleaning.
        _clean_up(new)
        try:
            yield new
        finally:
            # The next export removes the rest; an error has been reported already.
            with contextlib.suppress(OSError):
                _clean_up(new)


def _clean_up(new):
    """Removes leftovers in .partial, and models of an export that is not served."""
    path = os.path.join(new.partial, RECORD)
    if os.path.exists(path):
        remedy = f"Remove {new.partial}, and the models that no index names."
        record = read_json(path, remedy)
        check_format(record, "export", path)
        recover(os.path.join(new.export_dir, "index"))
        if not _is_served(new.export_dir, record):
            for model in MODELS:
                place = _place(new.export_dir, model, record["version"])
                if os.path.isdir(place):  # Renamed first: nobody finds half of it.
                    os.rename(place, os.path.join(new.partial, f"{model}.gone"))
        os.remove(path)
    for entry in os.scandir(new.partial):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        elif entry.name != LOCK:
            os.remove(entry.path)


@contextlib.contextmanager
def _locked(export_dir):
    """Holds the lock of the exporting process, and removes .partial at the end."""
    partial = os.path.join(export_dir, ".partial")
    file = _lock(partial)
    try:
        yield
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        os.close(file)


def _lock(partial):
    path = os.path.join(partial, LOCK)
    while True:
        os.makedirs(partial, exist_ok=True)
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:
            continue  # The one before has just ended.
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(file, 32).decode(errors="replace").strip()
            os.close(file)
            raise UserError(
                f"Process {holder} is exporting to {os.path.dirname(partial)}. Wait "
                "until it has ended."
            ) from None
        except OSError as error:
            warnings.warn(
                f"{partial} cannot be locked ({error.strerror}): make sure that only "
                "one process exports to it.",
                stacklevel=4,
            )
        if os.path.exists(path) and os.path.samestat(os.fstat(file), os.stat(path)):
            with contextlib.suppress(OSError):  # Only for the message.
                os.ftruncate(file, 0)
                os.write(file, str(os.getpid()).encode())
            return file
        os.close(file)  # The one before has removed it.


def unserved_version(export_dir):
    """The version that an export is placing, or was when it was killed, or None.

    Its models do not count: the index that belongs to them is not there yet.
    """
    path = os.path.join(export_dir, ".partial", RECORD)
    try:
        with open(path, encoding="utf-8") as file:
            record = json.load(file)
        return None if _is_served(export_dir, record) else record["version"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        warnings.warn(f"{path} is not heeded: {error}.", stacklevel=2)
        return None


def _next_version(export_dir):
    """1 + the largest number of a model, and of the models that the index names."""
    versions = [0, _version_of_index(export_dir)]
    for model in MODELS:
        directory = os.path.join(export_dir, model)
        names = os.listdir(directory) if os.path.isdir(directory) else []
        versions += [int(name) for name in names if name.isdigit()]
    return max(versions) + 1


def _version_of_index(export_dir):
    try:
        return read_manifest(standing(os.path.join(export_dir, "index")))["version"]
    except (ValueError, KeyError):  # None, one of before, or a damaged one.
        return 0


def _is_served(export_dir, record):
    if record["last"] == "index":
        return _version_of_index(export_dir) == record["version"]
    return os.path.isdir(_place(export_dir, "encoder", record["version"]))


def _place(export_dir, model, version):
    return os.path.join(export_dir, model, str(version))
