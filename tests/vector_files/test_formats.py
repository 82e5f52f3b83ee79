"""Every format gives back what was written; files of others are read, or refused."""

import json
import os
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from npid_tf.errors import FileError, UserError
from npid_tf.files.formats import stamp
from npid_tf.vector_files import FORMATS, Vectors, format, get_format, read_vectors
from tests.support.vectors import unit_rows

# A name of any bytes, one with all that CSV must quote, and one of digits.
IDS = [os.fsdecode(b"\xff/caf\xe9.jpg"), 'a,"b"\nc\r.png', "7", "ünï/code.png", "last"]
ABOUT = {**stamp("embeddings"), "encoder_hash": "e" * 64}


@pytest.fixture(autouse=True)
def few_rows_at_once(monkeypatch):
    """Blocks of two rows: the last one is smaller."""
    for module in ("format", "parquet", "jsonl"):
        monkeypatch.setattr(f"npid_tf.vector_files.{module}.ROWS_AT_ONCE", 2)


@pytest.fixture(params=FORMATS)
def suffix(request):
    return request.param


def written(path, **changes):
    vectors = Vectors(unit_rows(5, 3), IDS, about=ABOUT)._replace(**changes)
    get_format(str(path)).write(str(path), vectors)
    return vectors, read_vectors(str(path))


@pytest.mark.parametrize(
    ("labels", "class_names"),
    [
        (None, None),
        ([2, 0, -1, 2, 0], ("cat", "7", "dog, big")),  # The second has no image.
        ([40, 3, -1, 3, 40], None),
    ],
)
def test_a_file_gives_back_what_was_written(tmp_path, suffix, labels, class_names):
    labels = labels and np.array(labels)
    before, after = written(
        tmp_path / f"a{suffix}", labels=labels, class_names=class_names
    )
    np.testing.assert_array_equal(after.embeddings, before.embeddings)
    assert after.embeddings.dtype == np.float32
    assert (after.ids, after.class_names) == (IDS, class_names)
    np.testing.assert_array_equal(after.labels, labels)
    assert after.about.items() >= ABOUT.items()
    assert after.label_texts() == before.label_texts()
    assert not [name for name in os.listdir(tmp_path) if "partial" in name]


def test_labels_as_text_are_the_classes_names():
    vectors = Vectors(unit_rows(3, 2), list("abc"), np.array([1, -1, 0]), ("x", "y"))
    assert vectors.label_texts() == ["y", None, "x"]
    assert vectors._replace(class_names=None).label_texts() == ["1", None, "0"]


def test_a_newer_format_is_refused_in_words(tmp_path, suffix):
    with pytest.raises(UserError, match="install a newer npid_tf"):
        written(tmp_path / f"a{suffix}", about={**ABOUT, "format": 99})


def test_a_cut_file_is_refused_by_name(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    written(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(FileError, match=re.escape(f"a{suffix}")):
        read_vectors(str(path))


def test_json_lines_that_lack_one_are_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    written(path)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(FileError, match=r"5 lines were written. Received: 4"):
        read_vectors(str(path))


def test_an_unknown_end_and_a_missing_file_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"FILE.npz, FILE.npy, FILE.parquet, FILE.jso"):
        get_format("x.csv")
    with pytest.raises(FileError, match=r"No file .*x.npz: `embeddings` must be"):
        read_vectors(str(tmp_path / "x.npz"))


def test_others_read_the_files(tmp_path):
    """By pyarrow, json and NumPy alone."""
    rows = unit_rows(5, 3)
    labels = {"labels": np.array([0, 1, 0, 1, -1]), "class_names": ("cat", "dog")}
    ids = list("abcde")
    for suffix in FORMATS:
        written(tmp_path / f"a{suffix}", ids=ids, **labels)
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.column_names == ["id", "label", "embedding"]
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), 3)
    assert table["label"].to_pylist() == ["cat", "dog", "cat", "dog", None]
    np.testing.assert_array_equal(np.stack(table["embedding"].to_pylist()), rows)
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    first, second = map(json.loads, lines[:2])
    assert list(first) == ["about", "id", "label", "embedding"]
    assert list(second) == ["id", "label", "embedding"] and len(lines) == 5
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), rows)
    text = (tmp_path / "a.csv").read_text()
    assert text.splitlines()[:2] == ["row,path,label", "0,a,cat"]
    with np.load(tmp_path / "a.npz") as file:
        assert sorted(file) == ["about", "class_names", "embeddings", "ids", "labels"]


def test_files_of_others_are_read(tmp_path):
    rows = unit_rows(3, 2).astype(np.float64)
    np.savez(tmp_path / "a.npz", vectors=rows, paths=["a", "b", "c"])
    np.savez(tmp_path / "b.npz", rows)
    np.save(tmp_path / "c.npy", rows)
    np.save(tmp_path / "d.npy", rows)
    (tmp_path / "d.csv").write_text("row,id,label\n2,c,5\n0,a,\n1,b,4\n")
    table = pa.table({"path": ["a", "b", "c"], "vector": list(rows)})
    pq.write_table(table, tmp_path / "e.parquet")
    lines = [
        json.dumps({"path": n, "vector": list(r)})
        for n, r in zip("abc", rows, strict=True)
    ]
    (tmp_path / "f.jsonl").write_text("\n\n".join(lines))
    ids = {"b.npz": ["0", "1", "2"], "c.npy": ["0", "1", "2"]}
    for name in sorted(os.listdir(tmp_path)):
        if name != "d.csv":
            found = read_vectors(str(tmp_path / name))
            np.testing.assert_allclose(found.embeddings, rows, 1e-6)
            assert found.ids == ids.get(name, ["a", "b", "c"]), name
            assert found.about == {} and found.embeddings.dtype == np.float32
    assert read_vectors(str(tmp_path / "d.npy")).labels.tolist() == [-1, 4, 5]


def save_npz(path, **arrays):
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("a.npz", lambda p: save_npz(p, x=np.eye(2), y=np.eye(2)), "must hold `embed"),
        ("a.npz", lambda p: save_npz(p, x=np.array([{}, {}])), "more than arrays of"),
        ("a.npz", lambda p: save_npz(p, x=np.eye(2), ids=["a"]), "`ids` for each of"),
        ("a.npz", lambda p: save_npz(p, x=np.eye(2), labels=["a", "b"]), "class_names"),
        ("a.npy", lambda p: np.save(p, np.zeros(3)), r"numbers \[n, dim\]"),
        ("a.npy", lambda p: np.save(p, np.array([["a"]])), r"Received: <U1"),
        (
            "a.parquet",
            lambda p: pq.write_table(pa.table({"a": [1]}), p),
            "a column emb",
        ),
        (
            "a.parquet",
            lambda p: pq.write_table(pa.table({"vector": [[1.0], [1.0, 2.0]]}), p),
            "another length",
        ),
        (
            "a.parquet",
            lambda p: pq.write_table(pa.table({"vector": [[1.0], None]}), p),
            "lacks an embedding",
        ),
        ("a.jsonl", lambda p: p.write_text('{"id": 1}'), "line 1: it has none of emb"),
        ("a.jsonl", lambda p: p.write_text("{"), "line 1: "),
        (
            "a.jsonl",
            lambda p: p.write_text('{"vector": [1]}\n{"vector": [1, 2]}'),
            "line 2: expected an embedding of 1 numbers. Received: 2",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_words(tmp_path, name, write, message):
    write(tmp_path / name)
    with pytest.raises(FileError, match=message):
        read_vectors(str(tmp_path / name))


def test_a_table_of_other_ids_is_not_taken_for_the_npy_s(tmp_path):
    written(tmp_path / "a.npy", ids=list("abcde"), labels=np.zeros(5, int))
    table = tmp_path / "a.csv"
    text = table.read_text()
    table.write_text(text.replace("0,a,0", "0,a,9"))  # Another class is no fault.
    assert read_vectors(str(tmp_path / "a.npy")).labels.tolist() == [9, 0, 0, 0, 0]
    table.write_text(text.replace(",a,", ",z,"))
    with pytest.raises(FileError, match="not the one that was written with"):
        read_vectors(str(tmp_path / "a.npy"))
    table.unlink()
    with pytest.raises(FileError, match=r"a.csv is missing"):
        read_vectors(str(tmp_path / "a.npy"))


def test_blocks_are_all_rows_in_order():
    found = list(format.blocks(unit_rows(5, 3)))
    assert [first for first, _ in found] == [0, 2, 4]
    np.testing.assert_array_equal(
        np.concatenate([b for _, b in found]), unit_rows(5, 3)
    )
