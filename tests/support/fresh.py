"""Python processes in which nothing is imported yet."""

import os
import pathlib
import subprocess
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def python(code, *arguments, **environment):
    """What `python -c code` prints. Fails with its standard error where it fails."""
    done = run(["-c", code, *arguments], **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def run(arguments, **environment):
    """The ended process `python ARGUMENTS`, with `stdout` and `stderr` as text."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL")
    }
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
