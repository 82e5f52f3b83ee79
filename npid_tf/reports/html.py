"""HTML pages that hold everything they show: tables, pictures, images with captions.

The HTML is in `templates/`. Jinja2 escapes all text that is put into it; the pieces
that the functions below return are marked as HTML already (`markupsafe.Markup`).
"""

import base64

import jinja2

from npid_tf.data.shrink import kind_of_small_file, small_file
from npid_tf.files.whole_files import write_whole

NO_IMAGE = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 99 99'"
    "%3E%3Ctext x='50' y='54' font-size='12' text-anchor='middle' fill='gray'%3E"
    "no picture%3C/text%3E%3C/svg%3E"
)
SIDE = 320  # pixels: more than twice a figure's width, for screens of many pixels

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("npid_tf.reports"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(title, subtitle, sections):
    """The whole page as text.

    title, subtitle: plain text; sections: {heading: list of pieces of HTML}.
    """
    template = _TEMPLATES.get_template("page.html.j2")
    text = template.render(title=title, subtitle=subtitle, sections=sections)
    # Names of files may hold bytes that are no UTF-8: they are shown as escapes.
    return text.encode("utf-8", "backslashreplace").decode()


def paragraph(text):
    """Plain text as a paragraph."""
    return _pieces().paragraph(text)


def table(caption, rows):
    """Rows (dicts with the same keys) as a table that scrolls if it is too wide."""
    return _pieces().table(caption, rows)


def picture(png, alt):
    """A picture for light and for dark pages: {"light": PNG bytes, "dark": ...}."""
    light, dark = (_data_url("png", png[name]) for name in ("light", "dark"))
    return _pieces().picture(light, dark, alt)


def image_row(name, figures, css_class="images"):
    """A row of captioned images that scrolls if it is too wide, `name` its name.

    figures: (caption, uint8 image [height, width, 3], alternative text, kind) of each,
    where the kind decides the frame: query, right, wrong or nothing. css_class:
    `images`, or `images large`.
    """
    shown = [
        (caption, image_url(image), alt, kind) for caption, image, alt, kind in figures
    ]
    return _pieces().image_row(name, shown, css_class)


def side_by_side(rows):
    """Short rows of images beside each other, as many as fit."""
    return _pieces().side_by_side(rows)


def write_gallery(path, queries, results):
    """Writes a page with a row for each query: itself, then its neighbors.

    Args:
        path: of the HTML file.
        queries: (name, image) of each query: uint8 [height, width, 3], the bytes of
            a small PNG or JPEG, or None.
        results: for each query, the (caption, image) of its neighbors.
    """
    rows = []
    for (name, image), neighbors in zip(queries, results, strict=True):
        figures = [(caption, other, caption, "") for caption, other in neighbors]
        figures.insert(0, (name, image, name, "query"))
        rows.append(image_row(f"Neighbors of {name}", figures, "images large"))
    subtitle = "Each row: a query in a double frame, then the images most similar to it"
    write_whole(path, page("Neighbors", f"{subtitle}.", {"Queries": rows}))


def image_url(image):
    """A data URL that holds the image, small: a PNG, or a JPEG if it was large.

    image: uint8 [height, width, 3], or the bytes of such a file; None: an empty one.
    """
    if image is None:
        return NO_IMAGE
    data = image if isinstance(image, bytes) else small_file(image, SIDE)
    return _data_url(kind_of_small_file(data), data)


def _pieces():
    return _TEMPLATES.get_template("pieces.html.j2").module


def _data_url(kind, data):
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
