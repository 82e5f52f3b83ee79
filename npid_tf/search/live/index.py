"""A search index that can be changed while it is searched, and survives crashes."""

import itertools
import os
import shutil
import threading
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from npid_tf.checks.arguments import folder_path, whole_number
from npid_tf.errors import FileError, UserError
from npid_tf.search import changes
from npid_tf.search.live.carry_over import changes_since_segment, write_changed
from npid_tf.search.live.contents import LiveContents
from npid_tf.search.live.files import LiveFiles, ReadOnlyFolderError
from npid_tf.search.live.reader import LiveReader, load
from npid_tf.search.live.segment import Segment, build_segment
from npid_tf.search.live.write_ahead_log import WriteAheadLog, read
from npid_tf.search.neighbors import Neighbors

# The delta is searched exactly, and tombstones are skipped. Beyond so many of both, and
# a twentieth of all items, a compaction makes them part of a new segment.
COMPACT_AFTER = 10_000


class ReadOnlyError(UserError):
    """A change to an index that was opened read-only."""


class LiveIndex:
    """The index of an export, and all changes made to it since.

    `MilvusIndex` has the same methods: code that searches or serves an index need not
    know which of the two it is.

    A change is on disk before `upsert` or `delete` returns, and every search that
    begins afterwards sees it. Changes go to a log; when there are many, a thread builds
    a new segment of all items (`compact`), while searches and changes continue. All
    methods are thread-safe. Only one process may open it for writing, which a lock file
    ensures. Any number may read at the same time, and each of their searches sees what
    the writer has written, including compactions and exports of the same encoder.

    Args:
        directory: the index of an export, EXPORT/index. It is never written: changes
            go to EXPORT/index.live, which is created.
        read_only: search only: take no lock, write nothing and refuse changes.

    Attributes:
        manifest: of the segment, written by `python -m npid_tf.export` or a compaction.
        encoder_hash, dim: of the encoder and its embeddings.
        read_only: whether it refuses changes, because of the argument or because the
            folder of the changes is not writable.
        why_down: why it does not answer now: None, since it is on this machine.
        has_order: whether `ids` are in the order of insertion, and cost little.

    Raises:
        ValueError: if there is no index, another process has opened it for writing
            (InUseError), a file is damaged, or its changes belong to an export of
            another encoder or other data. OSError: if its folder is not writable.

    Example:

    >>> import tempfile
    >>> import numpy as np
    >>> from npid_tf import LiveIndex, build_index
    >>> folder = tempfile.mkdtemp() + "/index"
    >>> build_index(np.eye(3), ["red.jpg", "green.jpg", "blue.jpg"], k=2).save(folder)
    >>> index = LiveIndex(folder)
    >>> index.upsert(["cyan.jpg"], [[0.0, 0.6, 0.8]])
    >>> index.delete(["green.jpg"])
    1
    >>> index.search([[0.0, 0.6, 0.8]], k=2).ids
    [['cyan.jpg', 'blue.jpg']]
    >>> index.close()
    """

    why_down = None
    has_order = True

    def __init__(self, directory: str | os.PathLike, *, read_only: bool = False):
        self._writing = threading.Lock()
        self._compacting = threading.Lock()
        self._compactor = threading.Thread()  # None is running.
        self._compaction_error = None
        self._index_dir = folder_path("directory", directory)
        # A log and a lock where it may be changed, a reader where it may not.
        self._lock_file: int | None = None
        self._log: Any = None
        self._reader: Any = None
        self.read_only, self._why_read_only = read_only, "it was opened with read_only"
        if not read_only:
            try:
                self.take_over()
            except ReadOnlyFolderError as error:
                self.read_only, self._why_read_only = True, str(error)
        if self.read_only:
            self._reader = LiveReader(self._index_dir)
            self._files, self._contents, *_ = self._reader.loaded

    def take_over(self) -> None:
        """Becomes the process that may write, and reads everything again.

        Raises ValueError and OSError as the class; it then stays as it was.
        """
        lock_file = LiveFiles(self._index_dir).lock()
        try:
            (files, contents, num_records, _), _ = load(self._index_dir)
            number = files.manifest["last_number"]
            if files.earlier_segment:
                number += num_records
                files = files.next_generation(None, number)
            log = WriteAheadLog(files.log, number)
            if not log.num_records:
                log.append(
                    *(change.encode() for change in changes_since_segment(contents))
                )
            files.write_manifest()
            files.remove_leftovers()
        except BaseException:
            os.close(lock_file)
            raise
        self._files, self._contents, self._log = files, contents, log
        self._reader, self._lock_file, self.read_only = None, lock_file, False

    def _now(self):
        """The contents, with what another process has written since."""
        reader = self._reader
        return self._contents if reader is None else reader.follow().contents

    @property
    def manifest(self) -> dict[str, Any]:
        return self._now().segment.manifest

    @property
    def engine(self) -> str:
        """What searches: scann, or exact if ScaNN is not available."""
        return self._now().engine

    @property
    def encoder_hash(self) -> str:
        return self.manifest["encoder_hash"]

    @property
    def dim(self) -> int:
        return self.manifest["dim"]

    def check_encoder(self, encoder_hash: str) -> None:
        """Raises ValueError unless its embeddings come from that encoder."""
        if encoder_hash != self.encoder_hash:
            raise UserError(
                f"The index in {self._index_dir} was made by the encoder "
                f"{self.encoder_hash[:12]}, not by {encoder_hash[:12]}: similarities "
                "between the two mean nothing. Export again, then add its files again."
            )

    def __len__(self) -> int:
        return len(self._now())

    def __contains__(self, name: str) -> bool:
        return name in self._now()

    def ids(self) -> list[str]:
        """The ids of all items, a list of str, in the order of their insertion."""
        return self._now().ids()

    def labels(self, ids: Iterable[str]) -> list[str | None]:
        """The label of each id: str, or None if it has no label or does not exist."""
        return self._now().labels(ids)

    def known_labels(self, ids: Iterable[str]) -> dict[str, str | None]:
        """{id: its label, str or None} of those ids that exist."""
        return self._now().known_labels(ids)

    def embeddings(self, ids: Iterable[str]) -> np.ndarray:
        """float32 [num_ids, dim]. Raises ValueError for an id that does not exist."""
        return self._now().embeddings(changes.check_ids(ids))

    def search(self, embeddings: ArrayLike, k: int) -> Neighbors:
        """The k most similar items of each embedding, the most similar first.

        Args:
            embeddings: float32 [n, dim], unit length.
            k: neighbors.

        Returns:
            `Neighbors`: (ids, similarities, exact). If it is not exact, its
            recall is that of `stats`.

        Raises:
            ValueError: for embeddings that are not finite, not of unit length, or of
                another dimension.
        """
        k = whole_number("k", k, 1)
        contents = self._now()
        queries = changes.check_embeddings(embeddings, contents.segment.manifest["dim"])
        return Neighbors(*contents.search(queries, k))

    def upsert(
        self,
        ids: Iterable[str],
        embeddings: ArrayLike,
        labels: Iterable[str | None] | None = None,
    ) -> None:
        """Adds items, or replaces those with the same ids: all of them or none.

        Args:
            ids: list of str without duplicates.
            embeddings: float32 [num_ids, dim], unit length; others are refused, not
                normalized.
            labels: list of str or None, one per id; None: no labels.

        Raises:
            ValueError: for invalid ids, embeddings or labels.
            OSError: if the change could not be written; nothing has then changed.
        """
        change = changes.make_upsert(ids, embeddings, labels, self.dim)
        with self._writing:
            self._check_open()
            self._write(change)

    def delete(self, ids: Iterable[str]) -> int:
        """Deletes items and returns how many; unknown ids do not count.

        Raises ValueError for ids that are not text, OSError as `upsert`.
        """
        ids = dict.fromkeys(changes.check_ids(ids))
        with self._writing:
            self._check_open()
            change = changes.Delete([name for name in ids if name in self._contents])
            self._write(change)
        return len(change.ids)

    def _write(self, change):
        if change.ids:
            self._log.append(change.encode())
            self._contents.apply(change)
            self._compact_if_due()

    def stats(self) -> dict[str, Any]:
        """Items, settings, recall, log and compaction: a dict for JSON."""
        if self._reader is None:
            files, contents, log = self._files, self._contents, self._log
            num_records, size, torn = log.num_records, log.size, log.bytes_cut
        else:
            (files, contents, num_records, size), torn = self._reader.follow(), 0
        return {
            **contents.stats(),
            "read_only": self.read_only,
            "generation": files.manifest["generation"],
            "log_changes": num_records,
            "log_bytes": size,
            "torn_bytes_cut": torn,
            "compacting": self._compacting.locked(),
            "compaction_error": self._compaction_error,
        }

    def compact(self) -> None:
        """Builds a new segment of all items, and starts an empty log.

        Searches and changes continue meanwhile, and changes are kept. All vectors are
        in memory while it builds. If it fails, the index is as it was.
        Raises ValueError if the new segment misses the recall of the old one, OSError
        if it cannot be written.
        """
        with self._compacting:
            with self._writing:
                self._check_open()
                if not self._log.num_records:
                    return
                contents, number = self._contents, self._log.last_number
                ids, labels, slots = contents.items()
                files, partial = self._files, self._files.make_partial()
            try:
                vectors = contents.vectors_at(slots)
                num_records = number - files.manifest["last_number"]
                write_changed(partial, files, num_records)
                build_segment(partial, vectors, ids, labels, contents.segment.manifest)
                new_contents = LiveContents(Segment(partial))
                with self._writing:
                    self._check_open()
                    self._go_on_from(new_contents, partial, number)
                    self._files.remove_leftovers()
            except OSError as error:
                raise FileError(
                    f"The new index could not be written to {files.directory}: "
                    f"{error}. The index is as it was."
                ) from error
            finally:
                shutil.rmtree(partial, ignore_errors=True)
            self._compaction_error = None

    def _go_on_from(self, contents, partial, number):
        """Switches to contents whose segment includes all changes up to `number`."""
        first = self._files.manifest["last_number"]
        records = itertools.islice(read(self._log.path, first), number - first, None)
        later = [payload for payload, _ in records]
        for payload in later:
            contents.apply(changes.decode(payload, self.dim))
        files = self._files.next_generation(partial, number)
        log = WriteAheadLog(files.log, number)
        try:
            log.append(*later)
            files.write_manifest()
        except BaseException:
            log.close()
            raise
        self._log.close()
        self._files, self._log, self._contents = files, log, contents

    def _compact_if_due(self):
        due = sum(self._contents.num_changes()) > max(COMPACT_AFTER, len(self) // 20)
        if due and not self._compactor.is_alive() and not self._compaction_error:
            # A daemon, so that exiting does not wait for minutes of building.
            compact = self._compact_in_background
            self._compactor = threading.Thread(target=compact, daemon=True)
            self._compactor.start()

    def _compact_in_background(self):
        try:
            self.compact()
        except Exception as error:  # `stats` has it; the index is as it was.
            self._compaction_error = f"{type(error).__name__}: {error}"

    def wait(self) -> None:
        """Waits for the compaction in the background, if there is one."""
        if self._compactor.is_alive():
            self._compactor.join()

    def _check_open(self):
        if self.read_only:
            raise ReadOnlyError(
                f"The index in {self._index_dir} can only be read: "
                f"{self._why_read_only}."
            )
        if self._lock_file is None:
            raise UserError(f"The index in {self._index_dir} was closed.")

    def close(self) -> None:
        """Closes the files. A compaction in the background is abandoned."""
        with self._writing:
            if self._lock_file is not None:
                self._log.close()
                os.close(self._lock_file)
            self._lock_file = None
