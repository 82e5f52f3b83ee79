"""What is known of items, in SQLite: kept, read by others, and damaged."""

import json
import os
import signal
import sqlite3
import stat
import time

import pytest

from npid_tf.pictures.store import Known, PictureStore

ITEM = Known("/photos/\udcff.jpg", "digest", [1, 2, 3], b"\x89PNG")


@pytest.fixture
def store(tmp_path):
    store = PictureStore(str(tmp_path / "new" / "pictures.sqlite"))
    yield store
    store.close()


def test_what_is_put_is_found_by_a_reader_and_deleted(store):
    reader = PictureStore(store.path)
    assert reader.find(["a"]) == {} and reader.picture("a") is None
    store.delete(["a"])
    assert not os.path.exists(store.path)
    names = ["a\n'", "\udc80", *map(str, range(1200))]
    store.put(dict.fromkeys(names, ITEM))
    found = reader.find([*names, "other"])
    assert found == reader.all() == dict.fromkeys(names, ITEM._replace(picture=True))
    assert reader.picture("\udc80") == ITEM.picture
    store.forget(["7"])
    assert reader.find(["7"]) == {"7": Known(picture=False)}
    assert reader.picture("7") is None
    store.delete(names[2:])
    assert reader.all().keys() == set(names[:2])
    for other in (store, reader):
        other.close()
    assert PictureStore(store.path).picture(names[0]) == ITEM.picture


def test_a_killed_writer_leaves_what_it_had_put(store):
    child = os.fork()
    if not child:  # Alone with SQLite: no thread of TensorFlow is used.
        store.put({"a": ITEM})
        store._writer.execute("INSERT INTO items (id) VALUES (x'62')")
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert os.path.getsize(f"{store.path}-wal")
    assert store.all().keys() == {"a"}
    store.put({"c": ITEM})
    assert PictureStore(store.path).all().keys() == {"a", "c"}


@pytest.mark.parametrize("where", [0, 8192], ids=["head", "items"])
def test_damage_is_said_once_and_costs_the_pictures_alone(store, capsys, where):
    store.put({str(number): ITEM._replace(picture=bytes(5000)) for number in range(9)})
    store.close()
    with open(store.path, "r+b") as file:
        file.seek(where)
        file.write(b"\xff" * 8192)
    reader = PictureStore(store.path)
    for _ in range(2):
        assert reader.all() == {}
    assert capsys.readouterr().out.count("cannot be read: ") == 1
    store.put({"a": ITEM})
    assert "is damaged (" in capsys.readouterr().out
    assert reader.all().keys() == {"a"}
    assert os.path.exists(f"{store.path}.damaged")


def test_a_newer_format_is_refused_and_left_alone(store, capsys):
    store.put({"a": ITEM})
    record = json.dumps({"format": 99, "npid_tf": "9.0"})
    with sqlite3.connect(store.path) as database:
        database.execute("UPDATE about SET record = ?", [record])
    database.close()
    with pytest.raises(ValueError, match="format 99 of a pictures"):
        store.check()
    assert store.all() == {}
    assert "install a newer npid_tf" in capsys.readouterr().out


def test_where_nobody_may_write_it_is_read(store, monkeypatch):
    store.put({"a": ITEM})
    store.close()
    folder = os.path.dirname(store.path)
    # As root too: SQLite then finds no place for the files beside it.
    address = f"file:{store.path}?mode=ro"
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda at, **how: connect(
            "file:/nowhere/x?mode=ro" if at == address else at, **how)
    )  # fmt: skip
    os.chmod(folder, stat.S_IRUSR | stat.S_IXUSR)
    assert PictureStore(store.path).picture("a") == ITEM.picture
    os.chmod(folder, stat.S_IRWXU)


def test_a_writer_waits_for_another(store):
    store.put({"a": ITEM})
    other = sqlite3.connect(store.path, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    start = time.monotonic()
    import threading

    threading.Timer(0.2, other.commit).start()
    store.put({"b": ITEM})
    assert time.monotonic() - start > 0.1
    assert store.all().keys() == {"a", "b"}
