"""The folder of a run: where things are in it, and what the run is.

WORKDIR/run.json has the flags of the training. flags.cfg beside it has the same as a
file of flags; runs of before run.json have it alone.
"""

import dataclasses
import json
import os
import warnings

from npid_tf.command_line.given import flag_lines, parse
from npid_tf.command_line.programs import flags_of_all_programs
from npid_tf.errors import FileError, UserError
from npid_tf.files.formats import check_format, stamp
from npid_tf.files.whole_files import open_whole, write_whole
from npid_tf.runs.train_flags import OF_ANY_PROGRAM, TrainFlags

RUNS = "runs"  # Where the runs are that are called by a bare name.
FIELDS = dataclasses.fields(TrainFlags)
# For other programs: fields without defaults of their own, since the run has them.
RUN_FIELDS = [field for field in FIELDS if field.name in OF_ANY_PROGRAM]


def checkpoint_directory(config):
    """Where the checkpoints of a run are."""
    return os.path.join(config.workdir, "checkpoints")


def path_of_run(name):
    """The workdir that a command line calls by its path, or by a name in runs/."""
    is_path = os.sep in name or os.path.isdir(name) or name in (".", "~")
    return os.path.expanduser(name) if is_path else os.path.join(RUNS, name)


def is_run(workdir):
    """Whether a folder has the record of a run."""
    names = ("run.json", "flags.cfg")
    return any(os.path.exists(os.path.join(workdir, name)) for name in names)


def write_run(config):
    """Writes run.json and flags.cfg: what the other programs read of this run."""
    os.makedirs(config.workdir, exist_ok=True)
    record = {**stamp("run"), "flags": config.told()}
    write_whole(os.path.join(config.workdir, "run.json"), json.dumps(record, indent=1))
    with open_whole(os.path.join(config.workdir, "flags.cfg")) as file:
        file.writelines(f"{line}\n" for line in flag_lines(config))


def read_run(workdir):
    """{name: value} of the flags a run was trained with, of run.json or flags.cfg.

    Of a flags.cfg of before this has the flags of other programs too. Raises ValueError
    where the folder holds no run, or its record is damaged or of a newer format.
    """
    path = os.path.join(workdir, "run.json")
    flags_path = os.path.join(workdir, "flags.cfg")
    if os.path.exists(path):
        return _read_record(path)
    if os.path.exists(flags_path):
        return read_flags([f"--flagfile={flags_path}"]).values
    raise UserError(
        f"No run in {workdir}: it has no run.json. Pass --workdir=RUN, the folder that "
        "`npid train` wrote."
    )


def read_flags(words):
    """`Given` of the lines of a flags.cfg, which may have flags of any program."""
    return parse(words, FIELDS, flags_of_all_programs, file="flags.cfg")


def _read_record(path):
    try:
        with open(path, encoding="utf-8") as file:
            record = json.load(file)
        told = record["flags"]
        check_format(record, "run", path)
    except UserError:
        raise
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise FileError(
            f"{path} is damaged ({type(error).__name__}: {error}). Remove it: "
            "flags.cfg beside it has the same flags."
        ) from error
    known = {field.name for field in FIELDS}
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in told.items()
        if name in known
    }


def run_of(given):
    """(TrainFlags of the run that a command line names, {name: recorded value}).

    The run is --workdir, or the one argument. What was given of `OF_ANY_PROGRAM` comes
    before what the run has; all else is the run's. Raises ValueError as `read_run`.
    """
    values = dict(given.values)
    if given.arguments and "workdir" not in given.on_line:
        values["workdir"] = path_of_run(given.arguments[0])
        given = dataclasses.replace(given, arguments=given.arguments[1:])
    given.refuse_arguments()
    if "workdir" not in values:
        raise UserError(
            "`workdir` is required: the folder that `npid train` wrote. Pass "
            "--workdir=RUN."
        )
    in_files = read_flags(given.elsewhere.values()).values if given.elsewhere else {}
    in_files |= {  # Of a program that has the flags of `train` as well.
        field.name: values[field.name]
        for field in FIELDS
        if field.name in values and field.name not in given.on_line
    }
    in_files = {n: v for n, v in in_files.items() if n not in OF_ANY_PROGRAM}
    try:
        recorded = read_run(values["workdir"])
    except FileError:
        raise
    except UserError:
        if not in_files:
            raise
        recorded = in_files  # A file of flags, of a run that is not recorded.
    differs = [
        name
        for name, value in in_files.items()
        if name in recorded and recorded[name] != value
    ]
    if differs:
        warnings.warn(
            f"The run in {values['workdir']} has its own {', '.join(sorted(differs))}: "
            "what the file of flags says of them is passed over.",
            stacklevel=2,
        )
    of_run = {name: values[name] for name in OF_ANY_PROGRAM if name in values}
    return TrainFlags.of({**recorded, **of_run}), recorded
