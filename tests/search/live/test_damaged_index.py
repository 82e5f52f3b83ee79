"""A file of an index or a model that is damaged is named, and never searched."""

import json
import os
import pathlib
import shutil

import pytest

from npid_tf.errors import UserError
from npid_tf.saved_models.saved_model import check_model, read_description
from npid_tf.search.live.index import LiveIndex
from npid_tf.search.live.reader import read_contents
from npid_tf.search.live.segment import Segment
from npid_tf.search.scann_index import load_index
from npid_tf.server.models import Models, Servable
from tests.support.half_plus import save_half_plus
from tests.support.vectors import unit_rows

WAYS = {
    "missing": lambda data: None,
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "longer": lambda data: data + b"\0",
    "flipped": lambda data: (
        data[: len(data) // 2]
        + bytes([data[len(data) // 2] ^ 0x10])
        + data[len(data) // 2 + 1 :]
    ),
}


def damage(path, how):
    data = path.read_bytes()
    changed = how(data)
    if changed is None:
        path.unlink()
    else:
        path.write_bytes(changed)
    return lambda: path.write_bytes(data)


@pytest.fixture
def compacted(make_index):
    """The folder of an index whose changes were compacted; its log holds one more."""
    directory = make_index(300, [f"class {n % 7}" for n in range(300)], "int8")
    index = LiveIndex(directory)
    index.upsert(["new"], unit_rows(1, seed=1))
    index.compact()
    index.upsert(["newer"], unit_rows(1, seed=2))
    index.close()
    return pathlib.Path(directory)


def test_any_damage_of_any_file_of_an_index_is_named(compacted):
    folder = pathlib.Path(f"{compacted}.live/index-1")
    files = sorted(folder.iterdir())
    assert {"changed.json", "ids.json", "manifest.json"} <= {f.name for f in files}
    for path in files:
        for way, how in WAYS.items():
            if path.name == "manifest.json" and way in ("longer", "flipped"):
                continue  # JSON still, perhaps: see the next test.
            mend = damage(path, how)
            for opened in (
                lambda: Segment(str(folder)),
                lambda: read_contents(str(compacted)),
                lambda: LiveIndex(str(compacted)),
            ):
                with pytest.raises(UserError) as error:
                    opened()
                message = str(error.value)
                assert str(path) in message, (path, way)
                assert "again" in message or "backup" in message, message
            mend()
    LiveIndex(str(compacted)).close()


def test_the_folder_of_an_export_is_verified_too(compacted):
    pytest.importorskip("scann")
    for path in sorted(compacted.iterdir()):
        if path.name == "manifest.json":
            continue
        mend = damage(path, WAYS["flipped"])
        with pytest.raises(UserError, match=f"{path} is damaged"):
            load_index(str(compacted))
        mend()
    load_index(str(compacted))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "7", '{"n": "x"}', '{"n": 3}', "\udcff", "[" * 100_000]
    + ['{"n": 3, "dim": 8, "settings": {"kind": "tree"}, "recall": {"k": 3}}']
    + ['{"n": 3, "dim": 8, "settings": {"kind": "tre"}, "recall": {"k": 3}}'],
)
def test_manifests_that_are_none_are_named(compacted, text):
    for path in (
        compacted / "manifest.json",
        pathlib.Path(f"{compacted}.live/manifest.json"),
        pathlib.Path(f"{compacted}.live/index-1/manifest.json"),
    ):
        data = path.read_bytes()
        path.write_bytes(text.encode(errors="surrogateescape"))
        for opened in (read_contents, LiveIndex):
            with pytest.raises(UserError, match=str(path)):
                opened(str(compacted))
        path.write_bytes(data)


def test_a_newer_format_is_refused_in_words(compacted):
    for path, kind in (
        (compacted / "manifest.json", "index"),
        (pathlib.Path(f"{compacted}.live/index-1/manifest.json"), "index"),
        (pathlib.Path(f"{compacted}.live/manifest.json"), "live index"),
    ):
        data = path.read_bytes()
        record = json.loads(data)
        assert record["format"] == 1 and record["npid_tf"]
        path.write_text(json.dumps({**record, "format": 7, "npid_tf": "9.1"}))
        for opened in (read_contents, LiveIndex):
            with pytest.raises(
                UserError,
                match=rf"{path} .*format 7 of a {kind}.* 9.1",
            ):
                opened(str(compacted))
        path.write_bytes(data)


def test_any_flip_of_the_log_is_refused(compacted):
    path = pathlib.Path(f"{compacted}.live/changes-1.log")
    data = path.read_bytes()
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 0x08
        path.write_bytes(changed)
        with pytest.raises(
            UserError, match=rf"{path} .*(damaged at byte 0|of a format)"
        ):
            read_contents(str(compacted))
    with pytest.raises(UserError, match="truncate"):
        LiveIndex(str(compacted))
    assert path.read_bytes() == changed


def test_compactions_leave_folders_that_others_may_read(make_index):
    before = os.umask(0o022)
    try:
        index = LiveIndex(make_index(20))
        index.upsert(["new"], unit_rows(1))
        index.compact()
        index.close()
    finally:
        os.umask(before)
    for root, _, names in os.walk(index._files.directory):
        assert os.stat(root).st_mode & 0o777 == 0o755
        for name in names:
            assert os.stat(os.path.join(root, name)).st_mode & 0o777 == 0o644, name


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "encoder" / "1"
    save_half_plus(folder, 3.0)
    return folder


def test_any_damage_of_a_model_is_named(model, capsys):
    paths = [path for path in sorted(model.rglob("*")) if path.is_file()]
    assert len(paths) >= 4
    for path in paths:
        if path.name == "npid_tf.json":
            continue
        for way in ("missing", "cut", "flipped"):
            mend = damage(path, WAYS[way])
            with pytest.raises(UserError, match=str(path)):
                check_model(str(model))
            assert Models(str(model.parents[1])).load("encoder", 1) is None
            assert str(path) in capsys.readouterr().out
            mend()
    check_model(str(model))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"encoder_hash": 3}'])
def test_descriptions_that_are_none_are_named(model, text):
    path = model / "assets.extra" / "npid_tf.json"
    assert json.loads(path.read_text())["format"] == 1
    path.write_text(text)
    with pytest.raises(UserError, match=str(path)):
        read_description(str(model))
    path.write_text('{"format": 2, "npid_tf": "9.1", "encoder_hash": "half"}')
    with pytest.raises(UserError, match=r"format 2 of a export.* 9\.1"):
        read_description(str(model))


def test_warm_up_requests_that_are_damaged_are_named(model):
    path = model / "assets.extra" / "tf_serving_warmup_requests"
    path.write_bytes(b"no records, but long enough for a header of one")
    with pytest.raises(UserError, match=f"{path} is damaged.*Remove it"):
        Servable("encoder", 1, str(model))
    shutil.rmtree(model / "variables")
    with pytest.raises(UserError, match=r"variables.* is missing"):
        Servable("encoder", 1, str(model))
