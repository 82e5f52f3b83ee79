"""The folder of a live index, EXPORT/index.live: what is in it, and how it changes.

    manifest.json    names the current ones of the following; replaced by a rename
    index-N/         the segment of generation N, written by a compaction; without one
                     (as in generation 0) the segment is EXPORT/index itself
    changes-N.log    the changes since then
    lock             held by the process that writes
    pictures.sqlite  what is shown of the items (npid_tf/pictures), which SQLite keeps

Anything that the manifest does not name was left behind by a crash.
"""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import uuid

from npid_tf.errors import FileError, UserError
from npid_tf.files.folder_swap import standing
from npid_tf.files.formats import stamp
from npid_tf.files.whole_files import sync_folder, sync_tree, write_whole
from npid_tf.search.changes import change_ids
from npid_tf.search.index_files import MANIFEST, read_ids
from npid_tf.search.live.manifest import (
    describe_export,
    is_built_as_asked,
    read_manifest,
)
from npid_tf.search.live.segment import Segment
from npid_tf.search.live.write_ahead_log import read

PICTURES = "pictures.sqlite"  # SQLite has files beside it whose names begin so.
# Errors of the system for a folder that this process may not write.
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


class InUseError(UserError):
    """Another process has opened the index for writing."""


class ReadOnlyFolderError(FileError):
    """The folder of the changes is not writable."""


class LiveFiles:
    """Names and manifest of the folder.

    Args:
        index_dir: EXPORT/index, which is only read.
        manifest: dict of generation, last_number (of the change before the log's
            first), base (folder of the segment; None: EXPORT/index), export (hash of
            the export's manifest), encoder_hash and data (of that export); None: read
            it from the folder.

    Attributes:
        earlier_segment: whether the segment is a compaction of an earlier export and
            has other settings than the current one: its changes are then carried over
            to the current export (`carry_over`).

    Raises:
        ValueError: if there is no export, or the changes belong to an export of
            another encoder or other data. Those of an earlier export of the same
            encoder and data carry over.
    """

    def __init__(self, index_dir, manifest=None):
        self.index_dir = os.path.normpath(index_dir)
        self.directory = f"{self.index_dir}.live"
        self.earlier_segment = False
        self.manifest = self._read_manifest() if manifest is None else manifest

    @property
    def log(self):
        return self._log_of(self.manifest)

    @property
    def segment_dir(self):
        """The folder of the segment."""
        name = self.manifest["base"]
        return standing(self.index_dir) if name is None else self._path(name)

    def load_segment(self):
        return Segment(self.segment_dir)

    def load_export(self):
        """The segment of the export, also after compactions."""
        return Segment(standing(self.index_dir))

    def signature(self):
        """Differs after every change; cheap enough to be read by every search."""
        paths = [
            os.path.join(standing(self.index_dir), MANIFEST),
            self._path("manifest.json"),
            self.log,
        ]
        return tuple(map(_stat, paths))

    def place(self):
        """(path, ctime) of the index folder: differs after each renaming."""
        path = standing(self.index_dir)
        try:
            return path, os.stat(path).st_ctime_ns
        except FileNotFoundError:  # It is being renamed.
            return path, None

    def lock(self):
        """Takes the writer's lock and returns its file descriptor.

        The system releases it when the process ends, for whatever reason.
        Raises ValueError if another process holds it, OSError if it is not writable.
        """
        try:
            os.makedirs(self.directory, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            file = os.open(self._path("lock"), flags, 0o644)
        except OSError as error:
            kind = ReadOnlyFolderError if error.errno in _READ_ONLY else FileError
            raise kind(
                f"Changes to the index are kept in {self.directory}, which is not "
                f"writable: {error.strerror}."
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(file, 32).decode(errors="replace").strip()
            os.close(file)
            raise InUseError(
                f"Process {holder} has {self.directory} open for writing, and only one "
                "process may. Make the change through it, or stop it first."
            ) from None
        except OSError as error:
            os.close(file)
            raise FileError(
                f"{self.directory} is on a file system without file locks "
                f"({error.strerror}), so it can only be read."
            ) from error
        with contextlib.suppress(OSError):  # Only for the message.
            os.ftruncate(file, 0)
            os.write(file, str(os.getpid()).encode())
        return file

    def write_manifest(self):
        """Writes the manifest of this generation, which makes it the current one."""
        path = self._path("manifest.json")
        text = json.dumps({**self.manifest, **stamp("live index")})
        try:
            with open(path, encoding="utf-8") as file:
                if file.read() == text:
                    return  # A full disk is no reason not to open an index.
        except (OSError, ValueError):
            pass  # To be written, then.
        write_whole(path, text)

    def make_partial(self):
        """An empty folder to build the next segment in."""
        # Not `tempfile`: only the owner can read its folders.
        partial = self._path(f"partial-{uuid.uuid4().hex}")
        os.mkdir(partial)
        return partial

    def next_generation(self, partial, last_number):
        """The files of the generation that begins after change `last_number`.

        partial: a folder with its segment, which is renamed; None: the export's index.
        The new generation becomes current with `write_manifest`.
        """
        generation = self.manifest["generation"] + 1
        name = None if partial is None else f"index-{generation}"
        changed = {"generation": generation, "last_number": last_number, "base": name}
        later = LiveFiles(self.index_dir, {**self.manifest, **changed})
        if partial is not None:
            sync_tree(partial)
            segment = self._path(name)
            shutil.rmtree(segment, ignore_errors=True)  # Of a failed attempt.
            os.rename(partial, segment)
            sync_folder(self.directory)
        with contextlib.suppress(FileNotFoundError):
            os.remove(later.log)
        return later

    def remove_leftovers(self):
        """Removes what the manifest does not name, after syncing the manifest."""
        sync_folder(self.directory)
        keep = {
            "manifest.json",
            "lock",
            self.manifest["base"],
            os.path.basename(self.log),
        }
        for entry in os.scandir(self.directory):
            if entry.name in keep or entry.name.startswith(PICTURES):
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                os.remove(entry.path)

    def _path(self, name):
        return os.path.join(self.directory, name)

    def _log_of(self, manifest):
        return self._path(f"changes-{manifest['generation']}.log")

    def _read_manifest(self):
        export = describe_export(self.index_dir)
        new = {"generation": 0, "last_number": 0, "base": None, **export}
        manifest = read_manifest(self.directory)
        if manifest is None:
            return new
        log = self._log_of(manifest)
        if not os.path.exists(log):
            if read_manifest(self.directory) != manifest:
                return self._read_manifest()  # A compaction has just ended.
            raise UserError(
                f"{log} is missing, and with it changes to the index. Restore it from "
                f"a backup, or move {self.directory} away to start from the export."
            )
        if manifest["export"] == export["export"]:
            return {**manifest, **export}
        if manifest["base"] is None and not os.path.getsize(log):
            return new  # No changes: start from the new export.
        if all(manifest.get(key) == export[key] for key in ("encoder_hash", "data")):
            # The same embeddings of the same images: the log applies to either export.
            base = manifest["base"]
            self.earlier_segment = base is not None and not is_built_as_asked(
                self._path(base), standing(self.index_dir), manifest.get("n")
            )
            return {**manifest, **export}
        added = self._added(manifest)
        names = f" ({', '.join([*added[:3], '...'][: len(added)])})" if added else ""
        raise UserError(
            f"{self.directory} holds changes to an earlier export, of another encoder "
            f"or other data than the one in {self.index_dir}. They do not carry over: "
            f"{len(added)} items were added{names}. Move the folder away to start "
            "from this export, then add their images again: `python -m npid_tf.index "
            f"add --export_dir={os.path.dirname(self.index_dir)} FILES`."
        )

    def _added(self, manifest):
        """Sorted ids that the changes added and the export does not have."""
        ids = set()
        if manifest["base"] is not None:
            ids.update(map(str, read_ids(self._path(manifest["base"]))[0]))
        for payload, _ in read(self._log_of(manifest), manifest["last_number"]):
            change_ids(ids, payload)
        exported = read_ids(standing(self.index_dir))[0]
        return sorted(ids.difference(map(str, exported)))


def _stat(path):
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
