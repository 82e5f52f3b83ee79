"""The page of neighbors holds its images itself."""

import base64
import re

import numpy as np
import tensorflow as tf

from npid_tf.reports.gallery import write_gallery


def test_the_page_embeds_every_image_and_escapes_captions(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, [3, 4, 5, 3], np.uint8)
    path = tmp_path / "gallery.html"
    write_gallery(
        str(path),
        [("<query> & co", images[0])],
        [[("first", images[1]), ('"second"', images[2])]],
    )
    html = path.read_text(encoding="utf-8")
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    for encoded, image in zip(found, images, strict=True):
        decoded = tf.io.decode_png(base64.b64decode(encoded))
        np.testing.assert_array_equal(decoded, image)
    captions = re.findall("<figcaption>(.*?)</figcaption>", html)
    assert captions == ["&lt;query&gt; &amp; co", "first", "&quot;second&quot;"]
    assert [file.name for file in tmp_path.iterdir()] == ["gallery.html"]


def test_each_query_has_a_row_of_its_own(tmp_path):
    image = np.zeros([2, 2, 3], np.uint8)
    path = tmp_path / "gallery.html"
    write_gallery(
        str(path), [("a", image), ("b", image)], [[("c", image)], [("d", image)]]
    )
    rows = path.read_text(encoding="utf-8").split("<section>")[1:]
    assert [re.findall("<figcaption>(.)<", row) for row in rows] == [
        ["a", "c"],
        ["b", "d"],
    ]


def test_photos_are_small_in_the_page(tmp_path):
    rows = np.linspace(0, 255, 3000)[:, None, None]
    noise = np.random.default_rng(0).integers(0, 40, [3000, 4000, 3])
    photo = np.clip(rows + noise, 0, 255).astype(np.uint8)
    path = tmp_path / "gallery.html"
    write_gallery(str(path), [("a", photo)], [[("b", photo), ("c", photo)]])
    html = path.read_text(encoding="utf-8")
    assert len(html) < 500_000
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', html)
    shapes = [tf.io.decode_jpeg(base64.b64decode(each)).shape for each in found]
    assert shapes == [(240, 320, 3)] * 3
