"""The benchmark of decoding counts what is equal, refused and wrong."""

import numpy as np
from PIL import Image

import decoding


def test_a_folder_makes_the_table(tmp_path, capsys):
    image = Image.fromarray(np.full((5, 6, 3), 90, np.uint8))
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "b.tif")
    (tmp_path / "c.gif").write_bytes(b"no image")
    counts = decoding.main([f"--images={tmp_path}", "--files"])
    assert counts["PNG"]["training", decoding.EQUAL] == 1
    assert counts["TIFF"]["export", decoding.REFUSED] == 1
    assert counts["TIFF"]["as_plain, export", decoding.EQUAL] == 1
    assert counts["GIF"]["decode_file", decoding.REFUSED] == 1
    assert "begins with b'no image'" in capsys.readouterr().out


def test_other_pixels_are_wrong():
    expected = np.zeros((2, 2, 3), np.uint8)
    outcome, note = decoding.compare(lambda data: expected + 3, b"", expected, 2)
    assert (outcome, note) == (decoding.WRONG, "3 levels")
