"""What the documents name exists: paths, modules, names, links, and make's targets."""

import contextlib
import functools
import importlib
import pathlib
import re

import pytest

from tests.test_imports import ROOMS

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
# CHANGELOG.md also names what is no more.
DOCUMENTS = [
    REPOSITORY / name
    for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md")
] + sorted(REPOSITORY.glob("docs/*.md"))
FOLDERS = "npid_tf|tests|benchmarks|configs|docs|export"


def name_of(path):
    return str(path.relative_to(REPOSITORY))


def resolves(dotted):
    """Whether a module, or a name in one, is called this."""
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        with contextlib.suppress(AttributeError):
            functools.reduce(getattr, parts[end:], found)
            return True
    return False


def missing_paths(text):
    """Of paths such as npid_tf/losses/NAME.py: NAME stands for any name."""
    for path in re.findall(rf"(?<![\w./-])(?:{FOLDERS})/[\w./*-]*", text):
        pattern = re.sub(r"\b(NAME|DIR)\b", "*", path.rstrip("./"))
        if not list(REPOSITORY.glob(pattern)):
            yield path


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_path_exists(document):
    assert not list(missing_paths(document.read_text(encoding="utf-8")))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_module_and_name_exists(document):
    text = document.read_text(encoding="utf-8")
    names = set(re.findall(r"(?<![\w./-])npid_tf(?:\.[A-Za-z_]\w*)+(?![\w/])", text))
    names -= {"npid_tf.json", "npid_tf.NAME"}  # A file; any name.
    assert [name for name in sorted(names) if not resolves(name)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_link_to_a_file_leads_to_one(document):
    text = document.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?://|#|mailto:)([^)#]+)", text)
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_target_of_make_exists(document):
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    text = document.read_text(encoding="utf-8")
    told = re.findall(r"(?<=`)make ([\w-]+)", text)
    for block in re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        told += re.findall(r"^make ([\w-]+)", block, re.MULTILINE)
    assert [name for name in told if f"\n{name}:" not in makefile] == []


def test_what_does_not_exist_is_found():
    assert list(missing_paths("`npid_tf/losses/NAME.py`, `tests/npid_tf/`, a/b")) == [
        "tests/npid_tf/"
    ]
    assert resolves("npid_tf.client.Client") and resolves("npid_tf.losses")
    assert not resolves("npid_tf.losses.typo") and not resolves("npid_tf.typo")


def test_the_design_lists_every_room_in_its_order():
    text = (REPOSITORY / "docs" / "design.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `([\w.]+)` \|", text, re.MULTILINE) == ROOMS
