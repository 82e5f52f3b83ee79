"""What is known of the items of an index beside their vectors: one file of SQLite.

Of each item that came after the export: a small picture, and of those that are files
also which file, a digest of its content, and its times when it was read. Any number of
processes read it, also where they may not write, while one changes it. If it is damaged
the pictures are lost, never the items, and that is said.
"""

import contextlib
import json
import os
import pathlib
import sqlite3
import threading
from typing import NamedTuple

from npid_tf.files.formats import check_format, stamp

SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS about (record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS items (
    id BLOB PRIMARY KEY, file BLOB, digest TEXT, times TEXT, picture BLOB
);
COMMIT;
"""
ALL_ELSE = "id, file, digest, times, picture IS NOT NULL"
PICTURE = "id, NULL, NULL, NULL, picture"
AT_ONCE = 500  # ids in a question; SQLite takes a bounded number of values
WAIT = 10  # seconds for another process that writes


class Known(NamedTuple):
    """What is known of an item; the picture is read apart from the rest.

    file: an absolute path, or None; digest: of the file's bytes, or None; times: [size,
    mtime_ns, ctime_ns] of the file, or None; picture: bytes of a PNG or JPEG, or
    whether there is one.
    """

    file: str | None = None
    digest: str | None = None
    times: list | None = None
    picture: bytes | bool | None = None


class PictureStore:
    """The file at `path`, which need not exist: it is made by the first `put`."""

    def __init__(self, path):
        self.path = path
        self._writing = threading.Lock()
        self._writer = None
        self._said = None

    def find(self, names):
        """{id: Known} of those that it has, `picture` being whether there is one."""
        keys = [_key(name) for name in names]
        found = {}
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            found |= self._read(f"WHERE id IN ({','.join('?' * len(some))})", some)
        return found

    def picture(self, name):
        """The bytes of an item's picture, or None."""
        (known,) = self._read("WHERE id = ?", [_key(name)], PICTURE).values() or (
            Known(),
        )
        return known.picture

    def all(self):
        """{id: Known} of everything, `picture` being whether there is one."""
        return self._read()

    def names(self):
        """The ids of everything, in no order."""
        return self._read(columns="id, NULL, NULL, NULL, NULL").keys()

    def put(self, items):
        """Says what is known of items, in place of what was: {id: Known}."""
        if not items:
            return
        rows = [
            (
                _key(name),
                None if known.file is None else os.fsencode(known.file),
                known.digest,
                None if known.times is None else json.dumps(known.times),
                known.picture or None,
            )
            for name, known in items.items()
        ]
        self._write("INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?)", rows)

    def forget(self, names):
        """Nothing is known of these any more, not even what an export says of them."""
        self.put(dict.fromkeys(names, Known()))

    def delete(self, names):
        """Takes items out."""
        if names and os.path.exists(self.path):
            keys = [[_key(name)] for name in names]
            self._write("DELETE FROM items WHERE id = ?", keys)

    def check(self):
        """Raises UserError if a newer version of npid_tf wrote it."""
        with contextlib.suppress(sqlite3.Error), self._open() as database:
            _check_format(database, self.path)

    def close(self):
        """Closes the file."""
        with self._writing:
            self._close()

    def _close(self):
        if self._writer is not None:
            with contextlib.suppress(sqlite3.Error):
                self._writer.close()
        self._writer = None

    def _read(self, where="", values=(), columns=ALL_ELSE):
        """{id: Known}; nothing if it cannot be read, which is said once."""
        if not os.path.exists(self.path):
            return {}
        try:
            with self._open() as database:
                _check_format(database, self.path)
                rows = database.execute(f"SELECT {columns} FROM items {where}", values)
                return dict(map(_item, rows))
        except (sqlite3.Error, ValueError) as error:
            if "no such table" not in str(error):  # It is being made.
                self._say(f"Pictures of added items cannot be read: {error}")
            return {}

    @contextlib.contextmanager
    def _open(self):
        # Opened each time: it may be exchanged, and readers may come before it.
        address = f"{pathlib.Path(os.path.abspath(self.path)).as_uri()}?mode=ro"
        try:
            database = _connect(address)
        except sqlite3.OperationalError:
            # A folder that this process may not write to, and no process that does.
            database = _connect(f"{address}&immutable=1")
        with contextlib.closing(database):
            yield database

    def _write(self, command, rows):
        with self._writing:
            try:
                try:
                    self._execute(command, rows)
                except sqlite3.DatabaseError as error:
                    if type(error) is not sqlite3.DatabaseError:
                        raise  # Locked, or the disk is full: it is whole.
                    self._set_aside(error)
                    self._execute(command, rows)
            except (sqlite3.Error, OSError, ValueError) as error:
                self._close()
                self._say(f"Pictures of added items are not kept: {error}")

    def _execute(self, command, rows):
        if self._writer is None:
            os.makedirs(os.path.dirname(self.path) or ".", exist_ok=True)
            self._writer = sqlite3.connect(
                self.path, timeout=WAIT, check_same_thread=False
            )
            self._writer.execute("PRAGMA journal_mode=WAL")
            self._writer.execute("PRAGMA synchronous=FULL")
            self._writer.executescript(SCHEMA)
            if not self._writer.execute("SELECT 1 FROM about").fetchall():
                record = json.dumps(stamp("pictures"))
                with self._writer:
                    self._writer.execute("INSERT INTO about VALUES (?)", [record])
            _check_format(self._writer, self.path)
        with self._writer:
            self._writer.executemany(command, rows)

    def _set_aside(self, error):
        self._close()
        os.replace(self.path, f"{self.path}.damaged")
        for ending in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.remove(self.path + ending)
        self._say(
            f"The pictures of added items are lost: {self.path} is damaged ({error}). "
            f"It is kept as {self.path}.damaged, and a new one begun."
        )

    def _say(self, line):
        if line != self._said:
            print(line, flush=True)
        self._said = line


def _connect(address):
    database = sqlite3.connect(address, timeout=WAIT, uri=True)
    try:
        database.execute("SELECT 1 FROM about")
    except sqlite3.Error:
        database.close()
        raise
    return database


def _item(row):
    key, file, digest, times, picture = row
    return key.decode("utf-8", "surrogateescape"), Known(
        None if file is None else os.fsdecode(file),
        digest,
        None if times is None else json.loads(times),
        bool(picture) if isinstance(picture, int) else picture,
    )


def _key(name):
    return str(name).encode("utf-8", "surrogateescape")


def _check_format(database, path):
    ((record,),) = database.execute("SELECT record FROM about").fetchall() or [("{}",)]
    check_format(json.loads(record), "pictures", path)
