"""Which files of a folder are looked at, by their names, and why others are not."""

import importlib.util

from npid_tf.data.kinds import EXTENSIONS

HIDDEN_FILES, HIDDEN_FOLDERS = "hidden files", "hidden folders"
SYSTEM_FOLDERS = "folders of thumbnails, trash or the system"
# In lower case: thumbnails and trash of NAS devices (Synology, QNAP), macOS, Windows.
_OF_THE_SYSTEM = {
    "@eadir", "#recycle", "@recycle", "#snapshot", "@tmp", "@sharebin",
    "@recently-snapshot", "__macosx", "$recycle.bin", "system volume information",
    "lost+found", "network trash folder", "temporary items", "thumbnails.noindex",
    "__pycache__",
}  # fmt: skip


def folder_rule(name):
    """Why a folder of this name is not looked into, or None."""
    if name.startswith("."):
        return HIDDEN_FOLDERS
    return SYSTEM_FOLDERS if name.lower() in _OF_THE_SYSTEM else None


def file_rule(name):
    """Why a file of this name is not looked at, or None."""
    if name.startswith("."):  # Among them ._NAME, which macOS puts beside NAME.
        return HIDDEN_FILES
    _, dot, ending = name.rpartition(".")
    if not dot or not ending:
        return "files without an extension"
    extension = f".{ending.lower()}"
    if extension not in EXTENSIONS:
        return f"{extension} files"
    if EXTENSIONS[extension] == "HEIF" and not _reads_heif():
        return f"{extension} files, which need `pip install npid_tf[heif]`"
    return None


def path_rule(path):
    """(the part of a path with "/" that is left out, why), or None."""
    *folders, name = path.split("/")
    for depth, folder in enumerate(folders, 1):
        if kind := folder_rule(folder):
            return "/".join(folders[:depth]), kind
    kind = file_rule(name)
    return kind and (path, kind)


def _reads_heif():
    return importlib.util.find_spec("pillow_heif") is not None
