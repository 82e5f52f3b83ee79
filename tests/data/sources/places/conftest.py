"""Tiny images as files."""

import io

import PIL.Image
import pytest


def image_bytes(value, kind="PNG"):
    """An image of one colour."""
    file = io.BytesIO()
    PIL.Image.new("RGB", (4, 3), (value, value, value)).save(file, kind)
    return file.getvalue()


@pytest.fixture
def put():
    """Writes a file below folders that need not be there: an image, or bytes."""

    def put(path, content=0):
        path.parent.mkdir(parents=True, exist_ok=True)
        is_value = isinstance(content, int)
        path.write_bytes(image_bytes(content) if is_value else content)
        return path

    return put


@pytest.fixture
def trip(tmp_path, put):
    """A folder of two classes, four images, and the bytes of each: (folder, dict)."""
    folder = tmp_path / "trip"
    names = ("sea/1.png", "sea/deep/2.PNG", "wood/3.png", "wood/4.png")
    files = [put(folder / name, value) for value, name in enumerate(names)]
    return folder, dict(zip(names, (f.read_bytes() for f in files), strict=True))
