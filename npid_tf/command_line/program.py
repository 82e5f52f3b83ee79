"""How programs begin and end.

What the user can put right, a UserError or an OSError of their disk, ends in one line
on standard error and exit status 2; so does a flag that does not parse. Any other error
is a fault of the package and keeps its traceback. Ctrl-C ends with 130, without one.
"""

import io
import os
import signal
import sys
import warnings

from absl import app, flags, logging

from npid_tf.command_line.given import parse
from npid_tf.command_line.programs import flags_of_all_programs
from npid_tf.command_line.progress import show_progress
from npid_tf.command_line.tensorflow_log import look_for_devices
from npid_tf.command_line.usage import HELP, usage
from npid_tf.errors import is_of_user
from npid_tf.errors.printable import printable


def run(main, groups, aliases=None, read=parse):
    """Parses the command line and calls `main(given)`, the body of a program.

    groups: {title: the dataclass fields of its flags}, as `--help` lists them;
    aliases: {another name: name of a flag}; read: `parse`, or what stands for it.
    """

    def call(main, *arguments):
        try:
            result = main(*arguments)
            sys.stdout.flush()
            return result
        except KeyboardInterrupt:
            _end("Stopped by Ctrl-C.", 128 + signal.SIGINT)
        except Exception as error:
            if not is_of_user(error):
                raise
            _end(f"Error: {error}", 2)

    def given(argv):
        if any(word in HELP for word in argv[1:]):
            print(usage(sys.modules["__main__"].__doc__, groups))
            sys.exit(0)
        fields = [field for some in groups.values() for field in some]
        flags.FLAGS.mark_as_parsed()
        return read(argv[1:], fields, flags_of_all_programs, aliases)

    # Names of files need not be UTF-8; output that is none would end the program.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    show_progress()
    look_for_devices()  # TensorFlow has absl do so before `main`.
    logging.set_verbosity(logging.WARNING)
    warnings.showwarning = _show_warning
    try:
        app.run(lambda given: call(main, given), flags_parser=lambda a: call(given, a))
    except BrokenPipeError:
        # What read our output has ended, as `| head` does. Python would fail once more
        # when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)


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
