"""The folder of a live index, EXPORT/index.live: what is in it, and how it changes.

    manifest.json    which of the following count; renamed into place
    index-N/         the base of generation N; generation 0 is EXPORT/index itself
    changes-N.log    the changes since
    lock             held by the process that writes

Whatever the manifest does not name is left over from a crash.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile

from npid_tf.errors import FileError, UserError
from npid_tf.serving.base_index import BaseIndex
from npid_tf.serving.changes import change_ids, decode
from npid_tf.serving.index import read_ids
from npid_tf.serving.live_contents import LiveContents
from npid_tf.serving.write_ahead_log import read, sync_directory
from npid_tf.whole_files import open_whole


class LiveFiles:
    """Names and manifest of the folder.

    Args:
        index_dir: EXPORT/index, which is only read.
        manifest: dict of generation, last_number (of the change before the log's
            first), export (which export it began from), encoder_hash and data (of that
            export); None: read it.

    Raises:
        ValueError: where there is no export, or changes were made to one of another
            encoder or other data. Changes to an earlier one of the same carry over.
    """

    def __init__(self, index_dir, manifest=None):
        self.index_dir = os.path.normpath(index_dir)
        self.directory = f"{self.index_dir}.live"
        self.manifest = self._read_manifest() if manifest is None else manifest

    @property
    def log(self):
        return self._path(f"changes-{self.manifest['generation']}.log")

    def load_base(self):
        generation = self.manifest["generation"]
        if generation:
            return BaseIndex(self._path(f"index-{generation}"))
        return BaseIndex(self.index_dir)

    def lock(self):
        """Takes the lock of the writer: returns its file descriptor.

        The system lets go of it when the process ends, however it ends.
        Raises ValueError where another holds it, OSError where it cannot be written.
        """
        try:
            os.makedirs(self.directory, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            file = os.open(self._path("lock"), flags, 0o644)
        except OSError as error:
            raise FileError(
                f"Changes to the index are kept in {self.directory}, which cannot be "
                f"written: {error.strerror}."
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(file, 32).decode(errors="replace").strip()
            os.close(file)
            raise UserError(
                f"Process {holder} has {self.directory} open for writing, and one may "
                "at a time. Make the change through it, or stop it first."
            ) from None
        os.ftruncate(file, 0)
        os.write(file, str(os.getpid()).encode())
        return file

    def write_manifest(self):
        """Makes the manifest, as it is here, the one that counts: at once or not."""
        with open_whole(self._path("manifest.json")) as file:
            json.dump(self.manifest, file)

    def make_partial(self):
        """An empty folder to build the next base in."""
        return tempfile.mkdtemp(prefix="partial-", dir=self.directory)

    def next_generation(self, partial, last_number):
        """The files of the generation that begins after change `last_number`.

        Moves the base that was built in the folder `partial` to its place. It does not
        count before `write_manifest`.
        """
        generation = self.manifest["generation"] + 1
        changed = {"generation": generation, "last_number": last_number}
        later = LiveFiles(self.index_dir, {**self.manifest, **changed})
        sync_tree(partial)
        base = self._path(f"index-{generation}")
        shutil.rmtree(base, ignore_errors=True)  # Of an attempt that failed here.
        os.rename(partial, base)
        sync_directory(self.directory)
        with contextlib.suppress(FileNotFoundError):
            os.remove(later.log)
        return later

    def remove_leftovers(self):
        """Removes what the manifest does not name, once that is certain to stay."""
        sync_directory(self.directory)
        generation = self.manifest["generation"]
        keep = {
            "manifest.json",
            "lock",
            f"index-{generation}",
            os.path.basename(self.log),
        }
        for entry in os.scandir(self.directory):
            if entry.name in keep:
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                os.remove(entry.path)

    def _path(self, name):
        return os.path.join(self.directory, name)

    def _read_manifest(self):
        export = self._describe_export()
        new = {"generation": 0, "last_number": 0, **export}
        try:
            with open(self._path("manifest.json"), encoding="utf-8") as file:
                manifest = json.load(file)
        except FileNotFoundError:
            return new
        log = self._path(f"changes-{manifest['generation']}.log")
        if not os.path.exists(log):
            raise UserError(
                f"{log} is missing, and with it changes to the index. Restore it from "
                f"a backup, or move {self.directory} away to begin from the export."
            )
        if manifest["export"] == export["export"]:
            return {**manifest, **export}
        if not manifest["generation"] and not os.path.getsize(log):
            return new  # Nothing was changed: the new export takes over.
        if all(manifest.get(key) == export[key] for key in ("encoder_hash", "data")):
            # The same embeddings of the same images: a log goes on from either export,
            # and a later base holds those of both.
            return {**manifest, **export}
        added = self._added(manifest)
        names = f" ({', '.join([*added[:3], '...'][: len(added)])})" if added else ""
        raise UserError(
            f"{self.directory} holds changes to an earlier export, of another encoder "
            f"or other data than the one in {self.index_dir}. They do not carry over: "
            f"{len(added)} items were added{names}. Move the folder away to begin "
            "from this export, then add their images again: `python -m npid_tf.index "
            f"add --export_dir={os.path.dirname(self.index_dir)} FILES`."
        )

    def _added(self, manifest):
        """Ids, sorted, that its changes have put in and the export has not."""
        ids, generation = set(), manifest["generation"]
        if generation:
            ids.update(map(str, read_ids(self._path(f"index-{generation}"))[0]))
        log = self._path(f"changes-{generation}.log")
        for payload, _ in read(log, manifest["last_number"]):
            change_ids(ids, payload)
        return sorted(ids.difference(map(str, read_ids(self.index_dir)[0])))

    def _describe_export(self):
        path = os.path.join(self.index_dir, "manifest.json")
        try:
            with open(path, "rb") as file:
                text = file.read()
        except FileNotFoundError:
            raise UserError(
                f"No index in {self.index_dir}. Make one with `python -m "
                "npid_tf.export`."
            ) from None
        manifest = json.loads(text)
        return {
            "export": hashlib.sha256(text).hexdigest(),
            "encoder_hash": manifest["encoder_hash"],
            "data": manifest.get("data"),
        }


def read_contents(index_dir):
    """The `LiveContents` of an index as they are now, changes included.

    Reads beside a process that has it open, and changes no file.
    Raises ValueError as `LiveIndex`.
    """
    while True:
        files = LiveFiles(index_dir)
        try:
            contents = LiveContents(files.load_base())
            if os.path.exists(files.log):
                for payload, _ in read(files.log, files.manifest["last_number"]):
                    contents.apply(decode(payload, contents.base.manifest["dim"]))
        except (OSError, ValueError):
            if LiveFiles(index_dir).manifest == files.manifest:
                raise
        else:
            if LiveFiles(index_dir).manifest == files.manifest:
                return contents
        # A compaction has removed what the manifest named: look again.


def sync_tree(directory):
    """Waits until all files directly in a folder are on disk, and their names."""
    for entry in os.scandir(directory):
        file = os.open(entry.path, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
    sync_directory(directory)
