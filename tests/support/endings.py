"""Programs that end in an error each: FOLDER/NAME gets what they print, and
FOLDER/statuses.json their exit statuses. TensorFlow is imported once, for all."""

import errno
import json
import os
import sys
import warnings

import keras
import numpy as np
import tensorflow as tf

import npid_tf
from npid_tf import MemoryBank
from npid_tf.command_line.program import run
from npid_tf.errors import FileError, MissingPackageError, UserError

NAMES = dict(
    errno=errno,
    json=json,
    warnings=warnings,
    keras=keras,
    np=np,
    tf=tf,
    MemoryBank=MemoryBank,
    FileError=FileError,
    MissingPackageError=MissingPackageError,
    UserError=UserError,
)


def throw(error):
    raise error


def end_in(code, path):
    """The exit status of a program whose body is `code`, which prints to `path`."""
    child = os.fork()
    if not child:
        sys.stderr = open(path, "w")  # noqa: SIM115
        inside = os.path.join(os.path.dirname(npid_tf.__file__), "program.py")
        body = compile(code, inside, "eval")
        sys.argv = ["program"]
        status = 0
        try:
            run(lambda given: eval(body, {**NAMES, "throw": throw}), {})
        except SystemExit as end:
            status = end.code or 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
            status = 1
        sys.stderr.flush()
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


folder, codes = sys.argv[1], json.loads(sys.argv[2])
statuses = {
    name: end_in(code, os.path.join(folder, name)) for name, code in codes.items()
}
with open(os.path.join(folder, "statuses.json"), "w") as file:
    json.dump(statuses, file)
