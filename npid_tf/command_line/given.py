"""What a command line gives: typed values by the names of flags, and arguments.

absl parses each flag. Files of flags are read here: a file may be shared by several
programs, and each takes what is its own. On the command line itself a flag of another
program is refused.
"""

import dataclasses
import difflib
import os

from absl import flags

from npid_tf.command_line.fields import NUMBERS, kind_of
from npid_tf.errors import FileError, UserError
from npid_tf.files.whole_files import NAMES

_DEFINE = {
    str: flags.DEFINE_string,
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
}
_IN_WORDS = {int: "whole numbers", float: "numbers", str: "texts"}
FLAGFILE = "flagfile"
REST = "--"


@dataclasses.dataclass(frozen=True)
class Given:
    """What was given: values of flags, on the line or in a file, and arguments.

    on_line: the names of those on the command line itself, not in a file.
    elsewhere: {name: text} of the flags of other programs in the files.
    """

    values: dict
    arguments: list
    on_line: frozenset = frozenset()
    elsewhere: dict = dataclasses.field(default_factory=dict)

    def flags(self, kind, recorded=None):
        """The dataclass `kind`: of what was given, else recorded, else defaults."""
        return kind.of({**(recorded or {}), **self.values})

    def refuse_arguments(self):
        """Raises ValueError where there are arguments beside the flags."""
        if self.arguments:
            raise UserError(f"Unexpected arguments: {' '.join(self.arguments)}.")


def parse(words, fields, elsewhere=dict, aliases=None, file=None):
    """`Given` of the words of a command line, without the program's name.

    Args:
        fields: the dataclass fields of the flags that the program has.
        elsewhere: a function to {name: program} of the flags of all programs.
        aliases: {another name: name of a flag}.
        file: where the words are from, if they are lines of a file.

    Raises:
        ValueError: for a flag that is unknown, is another program's, or does not parse.
    """
    fields = {field.name: field for field in fields}
    aliases = aliases or {}
    values = _define(fields, aliases)
    lines, foreign, on_line = [], {}, set()
    for text, its_file in _lines(words):
        its_file = its_file or file
        name = None if its_file == REST else _name_of(text, fields, aliases)
        if its_file is None or name is None or name in fields:
            lines.append(text)
            if its_file is None and name is not None:
                on_line.add(name)
        elif {name, name.removeprefix("no")} & elsewhere().keys():
            foreign[name] = text
        else:
            raise UserError(f"{its_file}: {_unknown(name, fields, elsewhere)}")
    for name in on_line - fields.keys():
        raise UserError(_unknown(name, fields, elsewhere))
    try:
        _, *arguments = values(["program", *lines])
    except flags.Error as error:
        message = " ".join(str(error).split())
        raise UserError(f"{message} `--help` lists the flags.") from None
    found = {
        name: _typed(field, values[name].value)
        for name, field in fields.items()
        if values[name].present
    }
    return Given(found, arguments, frozenset(on_line), foreign)


def _define(fields, aliases):
    values = flags.FlagValues()
    values.set_gnu_getopt(True)  # Flags may follow arguments.
    for name, field in fields.items():
        kind, may_be_none, is_several = kind_of(field)
        if field.metadata["repeated"]:
            define, default = flags.DEFINE_multi_string, list(field.default)
        elif is_several:
            define, default = flags.DEFINE_list, [str(one) for one in field.default]
        elif may_be_none:  # Text, of which `--name=` is None; `_typed` converts it.
            define, default = flags.DEFINE_string, None
        else:
            define, default = _DEFINE[kind], field.default
        define(name, default, field.metadata["help"], flag_values=values)
    for alias, name in aliases.items():
        flags.DEFINE_alias(alias, name, flag_values=values)
    return values


def _lines(words):
    """(word, file it is from or None), files of flags read in their place.

    A word after a flag, as in `--epochs 3`, stays a word of its own. Words after `--`
    are arguments: their file is `REST`.
    """
    words = list(words)
    while words:
        word = words.pop(0)
        name, is_set, path = word.lstrip("-").partition("=")
        if word == "--":
            yield from ((rest, REST) for rest in [word, *words])
            return
        if not word.startswith("-") or name != FLAGFILE:
            yield word, None
            continue
        if not is_set:
            if not words:
                raise UserError("--flagfile needs a file: --flagfile=FILE.")
            path = words.pop(0)
        yield from read_flagfile(path)


def read_flagfile(path, of=()):
    """(line, file) of a file of flags, and of those it names.

    A file that is named in a file is looked for from here, beside that one, and in
    the folder above it. Raises FileError where one cannot be read.
    """
    path = _found(os.path.expanduser(path), of[-1] if of else None)
    if path in of:
        raise UserError(
            f"{path} names itself by --flagfile: {' -> '.join([*of, path])}"
        )
    try:
        with open(path, encoding="utf-8", errors=NAMES) as file:
            lines = [line.strip() for line in file]
    except OSError as error:
        raise FileError(
            f"The file of flags {path} cannot be read: {error.strerror}."
        ) from error
    for line in lines:
        if line.startswith("-"):
            name, _, value = line.lstrip("-").partition("=")
            if name == FLAGFILE:
                yield from read_flagfile(value, (*of, path))
            else:
                yield line, path
        elif line and not line.startswith(("#", "//")):
            raise UserError(
                f"{path}: expected lines like --name=value. Received: {line}"
            )


def _found(path, parent):
    if parent is not None and not os.path.exists(path):
        folder = os.path.dirname(parent)
        for beside in (folder, os.path.dirname(folder)):
            if os.path.exists(os.path.join(beside, path)):
                return os.path.join(beside, path)
    return path


def _name_of(word, fields, aliases):
    """The name of the flag that a word sets, or None of another word."""
    if not word.startswith("-") or word.strip("-") == "":
        return None
    name = word.lstrip("-").partition("=")[0]
    name = aliases.get(name, name)
    positive = name.removeprefix("no")
    if name not in fields and positive in fields and fields[positive].type is bool:
        return positive
    return name


def _unknown(name, fields, elsewhere):
    programs = elsewhere()
    name_of_bool = name.removeprefix("no")
    for known in (name, name_of_bool):
        if known in programs:
            return (
                f"--{known} is a flag of {programs[known]}, and would be ignored here. "
                "Leave it out; `--help` lists the flags."
            )
    close = difflib.get_close_matches(name, fields, n=3)
    hint = f" Did you mean {' or '.join(f'--{one}' for one in close)}?" if close else ""
    return f"Unknown command line flag '{name}'.{hint} `--help` lists the flags."


def _typed(field, value):
    kind, may_be_none, is_several = kind_of(field)
    if is_several:
        try:
            return tuple(kind(one) for one in value)
        except ValueError:
            raise UserError(
                f"`{field.name}` must be {_IN_WORDS[kind]} separated by commas. "
                f"Received: {','.join(value)}."
            ) from None
    if may_be_none:
        try:
            return kind(value) if value else None  # --z_decay= takes a value back.
        except ValueError:
            raise UserError(
                f"`{field.name}` must be {NUMBERS[kind]}. Received: {value}."
            ) from None
    return value


def flag_lines(config):
    """The lines of a file of flags, `--name=value`, of all that are not None.

    A secret is not written.
    """
    lines = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.metadata["secret"] or value is None:
            continue
        if field.metadata["repeated"]:
            lines += [f"--{field.name}={one}" for one in value]
            continue
        if isinstance(value, tuple):
            value = ",".join(map(str, value))
        lines.append(f"--{field.name}={value}")
    return lines
