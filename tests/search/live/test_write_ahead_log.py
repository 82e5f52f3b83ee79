"""What a log keeps through crashes, and which damage it refuses."""

import errno
import os
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npid_tf.search.live.write_ahead_log import WriteAheadLog, read


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "changes.log")


def payloads_of(path, last_number=0):
    return [payload for payload, _ in read(path, last_number)]


def write(path, payloads, last_number=0):
    log = WriteAheadLog(path, last_number)
    for payload in payloads:
        log.append(payload)
    log.close()


@given(payloads=st.lists(st.binary(max_size=60), max_size=8), split=st.integers(0, 8))
def test_what_was_appended_is_read_in_order(tmp_path_factory, payloads, split):
    path = str(tmp_path_factory.mktemp("log") / "changes.log")
    write(path, payloads[:split], last_number=5)
    replayed = []
    log = WriteAheadLog(path, 5, replayed.append)
    assert replayed == payloads[:split]
    log.append(*payloads[split:])
    assert (log.num_records, log.last_number) == (len(payloads), 5 + len(payloads))
    assert log.size == os.path.getsize(path)
    log.close()
    assert payloads_of(path, 5) == payloads


def test_every_beginning_of_the_last_record_is_cut(path):
    write(path, [b"first", b"second"])
    _, kept = next(read(path))
    whole = pathlib.Path(path).read_bytes()
    for size in range(kept, len(whole)):
        with open(path, "wb") as file:
            file.write(whole[:size])
        log = WriteAheadLog(path)
        assert log.bytes_cut == size - kept
        log.append(b"third")
        log.close()
        assert payloads_of(path) == [b"first", b"third"]


def test_garbage_at_the_end_is_cut(path):
    # A machine that lost power may leave a longer file than was written.
    write(path, [b"first"])
    with open(path, "ab") as file:
        file.write(bytes(100))
    assert payloads_of(path) == [b"first"]
    WriteAheadLog(path).close()
    assert os.path.getsize(path) == next(read(path))[1]


def test_damage_of_any_byte_before_the_last_record_is_refused(path):
    write(path, [b"first", b"second", b"third"])
    whole = pathlib.Path(path).read_bytes()
    ends = [end for _, end in read(path)]
    for position in range(ends[1]):
        damaged = bytearray(whole)
        damaged[position] ^= 0x40
        with open(path, "wb") as file:
            file.write(damaged)
        start = 0 if position < ends[0] else ends[0]
        with pytest.raises(ValueError, match=rf"damaged at byte {start}: record"):
            WriteAheadLog(path)
        with open(path, "rb") as file:
            assert file.read() == damaged  # Nothing is cut: it is the only evidence.


def test_a_record_that_is_missing_is_refused(path):
    write(path, [b"first", b"second", b"third"])
    ends = [end for _, end in read(path)]
    whole = pathlib.Path(path).read_bytes()
    with open(path, "wb") as file:
        file.write(whole[: ends[0]] + whole[ends[1] :])
    with pytest.raises(ValueError, match=r"record 2 .*record 3"):
        WriteAheadLog(path)


def test_a_log_that_belongs_elsewhere_is_refused(path):
    write(path, [b"first"], last_number=7)
    with pytest.raises(ValueError, match=r"record 1 .*record 8"):
        WriteAheadLog(path)


def test_a_full_disk_leaves_the_log_as_it_was_and_usable(path, monkeypatch):
    log = WriteAheadLog(path)
    log.append(b"first")
    really_write = os.write

    def write_a_part(file, data):
        monkeypatch.setattr(os, "write", fail)
        return really_write(file, bytes(data)[:7])

    def fail(file, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", write_a_part)
    with pytest.raises(OSError, match=r"Could not write to .*No space left"):
        log.append(b"second")
    monkeypatch.setattr(os, "write", really_write)
    assert payloads_of(path) == [b"first"]
    log.append(b"third")
    assert payloads_of(path) == [b"first", b"third"]


def test_after_an_error_that_cannot_be_taken_back_it_takes_no_more(path, monkeypatch):
    log = WriteAheadLog(path)
    log.append(b"first")

    def fail(file):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="Could not write"):
            log.append(b"second")
    with pytest.raises(OSError, match=r"changes.log .*Errno 5.*Open the index again"):
        log.append(b"third")
    log.close()
    log = WriteAheadLog(path)
    log.append(b"fourth")
    assert payloads_of(path)[0] == b"first"
    assert payloads_of(path)[-1] == b"fourth"


def test_it_is_on_disk_before_append_returns(path, monkeypatch):
    log, synced = WriteAheadLog(path), []

    def sync(file):
        with open(path, "rb") as written:
            synced.append(written.read())

    monkeypatch.setattr(os, "fsync", sync)
    log.append(b"first", b"second")
    (contents,) = synced
    assert contents.endswith(b"second")
