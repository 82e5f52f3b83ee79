"""One HTML page that holds all it shows: tables, pictures and images with captions."""

import base64
import html

from npid_tf.reports.gallery import figure

STYLE = """
:root { color-scheme: light dark; --right: #067d2c; --wrong: #c4161c; }
@media (prefers-color-scheme: dark) {
  :root { --right: #4ade80; --wrong: #ff8585; }
}
body { font: 16px/1.5 system-ui, sans-serif; max-width: 76em; margin: auto;
  padding: 1em; background: Canvas; color: CanvasText; }
:focus-visible { outline: 3px solid Highlight; outline-offset: 2px; }
.skip { position: absolute; left: -99em; }
.skip:focus { left: 1em; }
nav ul { display: flex; flex-wrap: wrap; gap: .3em 1.5em; padding: 0;
  list-style: none; }
table { border-collapse: collapse; }
caption { text-align: left; font-weight: bold; }
th, td { padding: .2em .8em; text-align: left; border-bottom: 1px solid GrayText; }
.scroll { overflow-x: auto; }
.images { display: flex; gap: .6em; margin: 0 0 1em; padding: 4px; }
.side-by-side { display: flex; flex-wrap: wrap; gap: 0 3em; }
figure { margin: 0; flex: 0 0 96px; font-size: 12px; overflow-wrap: anywhere; }
figure img { width: 88px; image-rendering: pixelated; border: 4px solid transparent; }
figure.query img { border: 4px double CanvasText; }
figure.right img { border: 4px solid var(--right); }
figure.wrong img { border: 4px dashed var(--wrong); }
picture img { display: block; margin-top: 1em; max-width: 100%; }
"""
# `img-src data:` and no other source: the page asks no address for anything.
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the report</a>
<header>
<h1>{title}</h1>
<p>{subtitle}</p>
<nav aria-label="Parts of the report"><ul>
{links}
</ul></nav>
</header>
<main id="main" tabindex="-1">
{sections}
</main>
</body>
</html>
"""


def page(title, subtitle, sections):
    """The whole page as text.

    title, subtitle: plain text; sections: {heading: list of pieces of HTML}.
    """
    numbered = list(enumerate(sections.items(), start=1))
    return PAGE.format(
        style=STYLE,
        title=html.escape(title),
        subtitle=html.escape(subtitle),
        links="\n".join(
            f'<li><a href="#part{number}">{html.escape(heading)}</a></li>'
            for number, (heading, _) in numbered
        ),
        sections="\n".join(
            f'<section aria-labelledby="part{number}">\n'
            f'<h2 id="part{number}">{html.escape(heading)}</h2>\n'
            f"{chr(10).join(pieces)}\n</section>"
            for number, (heading, pieces) in numbered
        ),
    )


def paragraph(text):
    """Plain text as a paragraph."""
    return f"<p>{html.escape(text)}</p>"


def table(caption, rows):
    """Rows (dicts with the same keys) as a table that scrolls where it is too wide."""
    head = "".join(f'<th scope="col">{html.escape(key)}</th>' for key in rows[0])
    body = "\n".join(
        "<tr>" + "".join(f"<td>{_text(value)}</td>" for value in row.values()) + "</tr>"
        for row in rows
    )
    return _scrolling(
        caption,
        f"<table><caption>{html.escape(caption)}</caption>\n"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>",
    )


def picture(png, alt):
    """A picture for light and for dark pages: {"light": PNG bytes, "dark": ...}."""
    light, dark = (_address(png[name]) for name in ("light", "dark"))
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" alt="{html.escape(alt)}"></picture>'
    )


def image_row(name, figures):
    """A row of captioned images that scrolls where it is too wide, `name` its name.

    figures: (caption, uint8 image [height, width, 3], alternative text, kind) of each,
    where the kind decides the frame: query, right, wrong or nothing.
    """
    drawn = "\n".join(figure(*parts) for parts in figures)
    return _scrolling(name, f'<div class="images">\n{drawn}\n</div>')


def side_by_side(rows):
    """Short rows of images beside each other, as many as fit."""
    return '<div class="side-by-side">\n' + "\n".join(rows) + "\n</div>"


def _scrolling(name, content):
    # What scrolls must be reached by the keyboard, and then has a name. A region would
    # be a landmark, whose name no other may have; two pairs may be alike.
    return (
        f'<div class="scroll" role="group" tabindex="0" '
        f'aria-label="{html.escape(name)}">\n{content}\n</div>'
    )


def _text(value):
    return f"{value:.4f}" if isinstance(value, float) else html.escape(str(value))


def _address(png):
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
