"""Pages as a parser reads them; tests/protocols/diagnostics opens one."""

import base64
import html.parser
import re

import numpy as np
import tensorflow as tf

from npid_tf.reports.html import (
    image_row,
    page,
    paragraph,
    picture,
    side_by_side,
    table,
    write_gallery,
)

IMAGE = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
EVIL = '<script>alert("1")</script>'
WITHOUT_END = {"meta", "link", "img", "source"}


class Parser(html.parser.HTMLParser):
    """Checks that elements are closed in order, and keeps them and their text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in WITHOUT_END:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append(data.strip())

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def whole_page():
    png = tf.io.encode_png(IMAGE).numpy()
    row = image_row(EVIL, [(EVIL, IMAGE, EVIL, "query"), ("b", IMAGE, "c", "wrong")])
    return page(
        EVIL,
        EVIL,
        {
            EVIL: [paragraph(EVIL), side_by_side([row, row])],
            "Second": [
                table(EVIL, [{"name": EVIL, "value": 0.25}, {"name": "n", "value": 3}]),
                picture({"light": png, "dark": png[::-1]}, EVIL),
            ],
        },
    )


def test_text_is_shown_as_it_is_and_never_run():
    parsed = Parser(whole_page())
    assert not parsed.all("script")
    assert parsed.texts.count(EVIL) == 10
    assert parsed.all("picture") and parsed.all("img")[-1]["alt"] == EVIL


def test_everything_it_shows_is_in_the_page():
    parsed = Parser(whole_page())
    for _, attributes in parsed.elements:
        for name in ("src", "srcset", "href"):
            address = attributes.get(name, "data:")
            assert address.startswith("data:") or address[0] == "#"
    first, *_, light = parsed.all("img")
    decoded = tf.io.decode_png(base64.b64decode(first["src"].split(",")[1]))
    np.testing.assert_array_equal(decoded, IMAGE)
    (dark,) = parsed.all("source")
    assert (
        base64.b64decode(dark["srcset"].split(",")[1])
        == base64.b64decode(light["src"].split(",")[1])[::-1]
    )
    (policy,) = [
        attributes["content"]
        for attributes in parsed.all("meta")
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert "default-src 'none'" in policy


def test_links_lead_to_the_parts_and_what_scrolls_has_a_name_and_takes_the_focus():
    parsed = Parser(whole_page())
    ids = {attributes.get("id") for _, attributes in parsed.elements}
    links = [link["href"][1:] for link in parsed.all("a")]
    assert links == ["main", "part1", "part2"]
    assert set(links) <= ids
    groups = [part for part in parsed.all("div") if part.get("role") == "group"]
    assert [part["aria-label"] for part in groups] == [EVIL] * 3
    assert {part["tabindex"] for part in groups} == {"0"}


def test_a_table_has_heads_and_four_decimals():
    parsed = Parser(table("Name", [{"a": 0.25, "b": 3}, {"a": 1 / 3, "b": "x"}]))
    assert parsed.texts == ["Name", "a", "b", "0.2500", "3", "0.3333", "x"]
    assert [head["scope"] for head in parsed.all("th")] == ["col", "col"]


def test_the_frame_tells_the_kind():
    row = image_row("row", [("1", IMAGE, "", kind) for kind in ("right", "wrong", "")])
    assert [each["class"] for each in Parser(row).all("figure")] == [
        "right",
        "wrong",
        "",
    ]


def test_the_page_embeds_every_image_and_escapes_captions(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, [3, 4, 5, 3], np.uint8)
    path = tmp_path / "gallery.html"
    write_gallery(
        str(path),
        [("<query> & co", images[0])],
        [[("first", images[1]), ('"second"', images[2])]],
    )
    text = path.read_text(encoding="utf-8")
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    for encoded, image in zip(found, images, strict=True):
        decoded = tf.io.decode_png(base64.b64decode(encoded))
        np.testing.assert_array_equal(decoded, image)
    captions = re.findall("<figcaption>(.*?)</figcaption>", text)
    assert captions == ["&lt;query&gt; &amp; co", "first", "&#34;second&#34;"]
    assert [file.name for file in tmp_path.iterdir()] == ["gallery.html"]


def test_each_query_has_a_row_of_its_own(tmp_path):
    image = np.zeros([2, 2, 3], np.uint8)
    path = tmp_path / "gallery.html"
    write_gallery(
        str(path), [("a", image), ("b", image)], [[("c", image)], [("d", image)]]
    )
    rows = path.read_text(encoding="utf-8").split('<div class="images large">')[1:]
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
    text = path.read_text(encoding="utf-8")
    assert len(text) < 500_000
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)
    shapes = [tf.io.decode_jpeg(base64.b64decode(each)).shape for each in found]
    assert shapes == [(240, 320, 3)] * 3
