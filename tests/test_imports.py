"""Imports point down: each room of npid_tf knows those below it, and none above.

`python tests/test_imports.py [PACKAGE]` prints the rooms of a package, today's or that
of another checkout, with their files and the arrows between them.
"""

import ast
import collections
import pathlib
import sys

from npid_tf.command_line import programs

PACKAGE = pathlib.Path(__file__).resolve().parents[1] / "npid_tf"
# From the lowest to the highest. A module may import from its own room and from those
# before it; a new room gets a line here.
ROOMS = [
    "errors",
    "files",
    "command_line",
    "checks",
    "vector_files",
    "distribution",
    "optimizers",
    "backbones",
    "search",
    "search.live",
    "search.milvus",
    "search.engines",
    "losses",
    "banks",
    "encoders",
    "data.preprocess",
    "data.kinds",
    "data.decoding",
    "data.augmentation",
    "data",
    "data.sources",
    "saved_models",
    "pictures",
    "evaluation",
    "evaluation.classifiers",
    "evaluation.transfer",
    "reports",
    "keras_calls",
    "npid",
    "instance_classifier",
    "training",
    "checkpoints",
    "weights",
    "client",
    "runs",
    "protocols",
    "run",
    "server",
]
# A program is a module, or the `__main__` of a folder.
PROGRAMS = [
    f"{name}.__main__" if (PACKAGE / name).is_dir() else name
    for name in programs.PROGRAMS
]
MOST_FILES = 14


def modules():
    """{dotted name without npid_tf: path} of every module."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def room_of(module):
    """The longest room that holds a module, or None for a program."""
    if module in PROGRAMS:
        return None
    rooms = [r for r in ROOMS if module == r or module.startswith(r + ".")]
    return max(rooms, key=len, default=module)


def imports():
    """(importing module, imported module), also those inside of functions."""
    known = modules()
    for name, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                told = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                told = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            for full in told:
                if full.split(".")[0] != "npid_tf":
                    continue
                target = full.removeprefix("npid_tf").lstrip(".")
                while target not in known:
                    target = target.rpartition(".")[0]
                yield name, target


def test_every_module_has_a_room():
    for name in modules():
        assert name in ("", *PROGRAMS) or room_of(name) in ROOMS, (
            f"{name} is in no room of ROOMS: add the room where it belongs. A program "
            "is named in npid_tf/command_line/programs.py instead."
        )


def test_imports_point_down():
    wrong = []
    for name, target in imports():
        if name == "" or name in PROGRAMS:
            continue  # The public names, and the programs, are above all rooms.
        if target in ("", *PROGRAMS):
            wrong.append(f"{name} -> {target or 'npid_tf'}")
        elif {room_of(name), room_of(target)} - set(ROOMS):
            continue  # Of no room: the test above says so.
        elif ROOMS.index(room_of(target)) > ROOMS.index(room_of(name)):
            wrong.append(f"{name} -> {target}")
    assert not wrong, "These imports point up:\n" + "\n".join(sorted(set(wrong)))


def test_no_imports_run_in_a_circle():
    arrows = {}
    for name, target in imports():
        if name and target and name != target:
            arrows.setdefault(name, set()).add(target)
    finished = set()

    def visit(name, path):
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in finished:
            for target in sorted(arrows.get(name, ())):
                visit(target, [*path, name])
            finished.add(name)

    for name in sorted(arrows):
        visit(name, [])


def test_no_folder_is_crowded():
    for folder in [PACKAGE, *PACKAGE.rglob("*/")]:
        if folder.name != "__pycache__":
            files = [path for path in folder.iterdir() if path.is_file()]
            assert len(files) <= MOST_FILES, (
                f"{folder} has {len(files)} files, more than {MOST_FILES}. Group some "
                "of them in a sub-folder."
            )
    assert len(list(PACKAGE.glob("*.py"))) < MOST_FILES


def test_no_flag_reaches_functions_of_arrays():
    words = {"config", "Config", "flags", "FLAGS", "absl"}
    found = []
    for path in (PACKAGE / "evaluation").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [
                getattr(node, key, None) for key in ("id", "arg", "name", "module")
            ]
            found += [f"{path.name}: {name}" for name in names if name in words]
    assert not found, "These belong in npid_tf/protocols: " + ", ".join(found)


def print_rooms(package):
    """Folders and single modules as rooms, however they are ordered."""
    global PACKAGE
    PACKAGE = pathlib.Path(package).resolve()
    files = collections.Counter()
    for path in modules().values():
        folder = path.parent.relative_to(PACKAGE)
        files[str(folder) if folder.parts else path.stem] += 1

    def room(name):
        path = modules()[name]
        folder = path.parent.relative_to(PACKAGE)
        return str(folder) if folder.parts else path.stem

    arrows = {(room(a), room(b)) for a, b in imports() if room(a) != room(b)}
    for name, count in sorted(files.items()):
        targets = sorted(b for a, b in arrows if a == name)
        print(f"{name:<26}{count:>3} files  -> {', '.join(targets)}")
    top = len(list(PACKAGE.glob("*.py")))
    both = sum((b, a) in arrows for a, b in arrows) // 2
    print(
        f"{len(files)} rooms, {top} modules at the top level, {len(arrows)} arrows, "
        f"{both} pairs of rooms that import each other, "
        f"at most {max(files.values())} files in a room."
    )


if __name__ == "__main__":
    print_rooms(sys.argv[1] if len(sys.argv) > 1 else PACKAGE)
