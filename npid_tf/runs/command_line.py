"""From the command line to a `Config` and back, and how programs end.

FLAGS stop here: the rest receives a `Config`.
"""

import dataclasses
import os
import signal
import sys
import warnings

from absl import app, flags, logging

from npid_tf.errors import UserError, is_of_user
from npid_tf.errors.printable import printable
from npid_tf.files.whole_files import open_whole
from npid_tf.runs.config import Config

_DEFINE = {
    str: flags.DEFINE_string,
    str | None: flags.DEFINE_string,
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    int | None: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    float | None: flags.DEFINE_float,
    tuple[int, ...]: flags.DEFINE_list,
    tuple[float, ...]: flags.DEFINE_list,
    tuple[str, ...]: flags.DEFINE_list,
}


def define_flags():
    """Defines a flag for each field of `Config`; `--help` shows these alone."""
    for field in dataclasses.fields(Config):
        default = field.default
        if isinstance(default, tuple):
            default = [str(value) for value in default]
        define = _DEFINE[field.type]
        if field.metadata["repeated"]:
            define = flags.DEFINE_multi_string
        define(field.name, default, field.metadata["help"])
        # `declare_key_flag` would declare it for this module; --help asks the program.
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[field.name])


def config_from_flags():
    """The `Config` of the parsed flags. Raises ValueError for values out of range."""
    values = {}
    for field in dataclasses.fields(Config):
        value = flags.FLAGS[field.name].value
        if field.type == tuple[int, ...]:
            value = _numbers(field.name, value, int, "whole numbers")
        elif field.type == tuple[float, ...]:
            value = _numbers(field.name, value, float, "numbers")
        elif field.type == tuple[str, ...]:
            value = tuple(value)
        elif field.type == str | None:
            value = value or None  # --eval_split= takes a flagfile's value back
        values[field.name] = value
    return Config(**values)


def _numbers(name, values, kind, kind_in_words):
    try:
        return tuple(kind(value) for value in values)
    except ValueError:
        raise UserError(
            f"`{name}` must be {kind_in_words} separated by commas. "
            f"Received: {','.join(values)}."
        ) from None


def flag_lines(config):
    """The lines of a flagfile, `--name=value`, of all flags that are not None.

    A secret is not written.
    """
    lines = []
    for field in dataclasses.fields(Config):
        if field.metadata["secret"]:
            continue
        value = getattr(config, field.name)
        if field.metadata["repeated"]:
            lines += [f"--{field.name}={one}" for one in value]
            continue
        if isinstance(value, tuple):
            value = ",".join(map(str, value))
        if value is not None:
            lines.append(f"--{field.name}={value}")
    return lines


def write_flagfile(config, path):
    """Writes `config` as a flagfile that every program of the package reads."""
    with open_whole(path) as file:
        file.writelines(f"{line}\n" for line in flag_lines(config))


def run(main):
    """Parses the flags and calls `main(config, arguments)`, the body of a program.

    What the user can put right, a UserError or an OSError of their disk, ends in one
    line on standard error and exit status 2; so does a flag that does not parse. Any
    other error is a bug: it keeps its traceback. Ctrl-C ends with 130, without one.
    """
    define_flags()

    def call_main(argv):
        try:
            main(config_from_flags(), argv[1:])
            sys.stdout.flush()
        except KeyboardInterrupt:
            _end("Stopped by Ctrl-C.", 128 + signal.SIGINT)
        except Exception as error:
            if not is_of_user(error):
                raise
            _end(f"Error: {error}", 2)

    logging.set_verbosity(logging.WARNING)
    warnings.showwarning = _show_warning
    try:
        app.run(call_main, flags_parser=_parse)
    except BrokenPipeError:
        # What read our output has ended, as `| head` does. Python would fail once more
        # when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)


def _parse(argv):
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        message = " ".join(str(error).split())
        _end(f"Error: {message} `--help` lists the flags.", 2)


def _end(message, status):
    print(printable(message, keep="\n"), file=sys.stderr, flush=True)
    sys.exit(status)


def _show_warning(message, category, filename, lineno, file=None, line=None):
    # Those of this package speak to the user: the line of code says nothing to them.
    if issubclass(category, UserWarning):
        text = f"Warning: {message}\n"
    else:
        text = warnings.formatwarning(message, category, filename, lineno, line)
    (file or sys.stderr).write(text)
