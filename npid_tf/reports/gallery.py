"""A page of queries and their neighbors, in one HTML file."""

import base64
import html

import tensorflow as tf

from npid_tf.data.shrink import shrink
from npid_tf.files.whole_files import write_whole

SIDE = 320  # pixels: twice of what a figure is wide, for screens of many pixels
LOSSLESS_SIDE = 96  # Beyond it, a JPEG is a tenth of a PNG.

HEAD = """<!doctype html>
<meta charset="utf-8">
<title>Neighbors</title>
<style>
body { font-family: sans-serif; margin: 2em; }
section { display: flex; flex-wrap: wrap; gap: 1em; margin-bottom: 2em; }
figure { margin: 0; width: 128px; font-size: 12px; overflow-wrap: anywhere; }
figure:first-child { border-right: 2px solid; padding-right: 1em; }
img { width: 128px; image-rendering: pixelated; }
</style>
"""


def write_gallery(path, queries, results):
    """Writes a page with a row for each query: itself, then its neighbors.

    Args:
        path: of the HTML file.
        queries: (name, uint8 image [height, width, 3]) of each query.
        results: for each query, the (caption, image) of its neighbors.
    """
    rows = [
        [figure(*query), *(figure(*neighbor) for neighbor in neighbors)]
        for query, neighbors in zip(queries, results, strict=True)
    ]
    sections = [f"<section>\n{chr(10).join(row)}\n</section>\n" for row in rows]
    write_whole(path, HEAD + "".join(sections))


def figure(caption, image, alt="", css_class=""):
    """A captioned image as HTML that holds it, small: a PNG, or a JPEG if it was large.

    caption, alt: plain text; image: uint8 [height, width, 3].
    """
    image = shrink(image, SIDE)
    is_small = max(image.shape[:2]) <= LOSSLESS_SIDE
    kind, encode = ("png", tf.io.encode_png) if is_small else ("jpeg", _encode_jpeg)
    encoded = base64.b64encode(encode(image).numpy()).decode()
    return (
        f'<figure class="{css_class}"><img src="data:image/{kind};base64,{encoded}" '
        f'alt="{html.escape(alt)}"><figcaption>{html.escape(caption)}</figcaption>'
        "</figure>"
    )


def _encode_jpeg(image):
    return tf.io.encode_jpeg(image, quality=85, optimize_size=True)
