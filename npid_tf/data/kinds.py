"""Which files are images: their extensions, and the kinds that Pillow calls them."""

# The first extension of each kind is its usual one. A file's content decides how it is
# decoded, whatever its name says; the name alone decides whether it is looked at.
_EXTENSIONS_OF = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".jif"),
    "MPO": (".mpo",),  # Several JPEGs in one file: the first.
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
    "DIB": (".dib",),  # A BMP without the header of its file.
    "GIF": (".gif",),
    "AVIF": (".avif", ".avifs"),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "HEIF": (".heic", ".heif", ".heics", ".heifs", ".hif"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
}
# {extension in lower case: kind}
EXTENSIONS = {
    extension: kind
    for kind, extensions in _EXTENSIONS_OF.items()
    for extension in extensions
}
KINDS = tuple(_EXTENSIONS_OF)


def has_image_extension(name):
    """Whether a file's name ends as an image's does."""
    return name.lower().endswith(tuple(EXTENSIONS))
