"""The benchmark of the start runs, and its files are all different images."""

import tensorflow as tf

import start


def test_a_tiny_run_makes_the_table(tmp_path):
    rows = start.main(["--images=70", f"--folder={tmp_path / 'photos'}"])
    assert [row[0] for row in rows] == ["first", "second"]
    for row in rows:
        assert len(row) == len(start.HEADER)
        assert float(row[-2].split()[0]) > 1


def test_no_two_files_are_alike_and_all_decode(tmp_path, monkeypatch):
    monkeypatch.setattr(start, "DISTINCT", 3)
    start.write_images(str(tmp_path), 7)
    contents = [path.read_bytes() for path in tmp_path.rglob("*.jpg")]
    assert len(set(contents)) == 7
    shapes = {tuple(tf.io.decode_jpeg(each).shape) for each in contents}
    assert shapes == {(start.SIDE, start.SIDE, 3)}
