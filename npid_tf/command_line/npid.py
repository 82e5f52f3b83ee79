"""The command `npid`: `npid train photos --data=PHOTOS`, `npid --help`."""

import difflib
import os
import runpy
import sys

from npid_tf.command_line.programs import PROGRAMS
from npid_tf.files.version import __version__


def main():
    """Runs the program that the first word names, as `python -m npid_tf.NAME` does."""
    name, *words = sys.argv[1:] or ["--help"]
    if name in ("-h", "-help", "--help", "help"):
        print(_usage())
        return
    if name in ("-V", "--version"):
        print(f"npid_tf {__version__}")
        return
    if name == "doctor":
        from npid_tf.command_line.doctor import main as doctor

        sys.exit(doctor(words))
    if name not in PROGRAMS:
        close = difflib.get_close_matches(name, [*PROGRAMS, "doctor"], n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        known = ", ".join([*PROGRAMS, "doctor"])
        print(
            f"Error: Unknown program {name!r}.{hint} Known: {known}.", file=sys.stderr
        )
        sys.exit(2)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # Before TensorFlow is loaded.
    sys.argv = [f"npid {name}", *words]
    # Not imported: `npid_tf.embed` stays the function of that name.
    runpy.run_module(f"npid_tf.{name}", run_name="__main__", alter_sys=True)


def _usage():
    lines = [f"  npid {name:<10}{what}" for name, (what, _) in PROGRAMS.items()]
    return "\n".join(
        [
            "Image embeddings without labels: train, evaluate, export, search, serve.",
            "",
            *lines,
            f"  npid {'doctor':<10}what this machine has, and what is missing",
            "",
            "A folder of photographs, from nothing to a page of neighbors:",
            "  npid train photos --data=PHOTOS",
            "  npid export photos --export_dir=runs/photos/export",
            "  npid serve runs/photos/export",
            "",
            "`npid NAME --help` lists the flags of one.",
        ]
    )
