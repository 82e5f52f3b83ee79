"""What `--help` prints: the program's own flags, in groups."""

import inspect
import textwrap

from npid_tf.command_line.fields import kind_of

HELP = ("--help", "-help", "-h", "--h", "-?", "--helpfull", "--helpshort")


def usage(description, groups):
    """The text of `--help`.

    description: the program's docstring; groups: {title: dataclass fields}.
    """
    lines = [inspect.cleandoc(description or ""), ""]
    for title, fields in groups.items():
        lines += [
            f"{title}:",
            *(line for field in fields for line in _lines(field)),
            "",
        ]
    lines.append("--flagfile=FILE reads flags from a file, one a line.")
    return "\n".join(lines)


def _lines(field):
    kind, _, _ = kind_of(field)
    name = f"[no]{field.name}" if kind is bool else field.name
    default = field.default
    if isinstance(default, tuple):
        default = ",".join(map(str, default))
    shown = "" if default in (None, "") else f" (default: {default})"
    return textwrap.wrap(
        f"--{name}: {field.metadata['help']}{shown}",
        width=88,
        initial_indent="  ",
        subsequent_indent="      ",
    )
