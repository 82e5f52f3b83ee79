"""Flags as fields of a dataclass: default, help and range in one place.

A program or a protocol has a frozen dataclass of its own beside the code that reads it:

    @dataclasses.dataclass(frozen=True)
    class KnnFlags(Flags):
        k: tuple[int, ...] = flag((10, 20), "Neighbors that vote", at_least=1)
        engine: str = choice(ENGINES, "scann", "What searches")

The field's type is the flag's. What is out of range, or of another type, raises where
the dataclass is made, from Python as from the command line.
"""

import dataclasses
import math
import os

import numpy as np

from npid_tf.errors import UserError


def flag(default, help_text, *, at_least=None, above=None, at_most=None, below=None,
         may_be_empty=False, repeated=False, secret=False, path=False,
         only_with=None):  # fmt: skip
    """A field with its help and range.

    Args:
        at_least, above, at_most, below: bounds of a number, or of each of several.
        may_be_empty: whether several may be none.
        repeated: `--name=A --name=B`, where A may have commas.
        secret: no file of flags, no result and no log shows it.
        path: a file or folder, or data that may be in one (folder:DIR): `~` expands.
        only_with: {name of another flag: its values} with which this one is read. Set
            to another value than its default it is refused beside any other.
    """
    bounds = {"at_least": at_least, "above": above, "at_most": at_most, "below": below}
    metadata = {
        "help": help_text,
        "bounds": {name: bound for name, bound in bounds.items() if bound is not None},
        "may_be_empty": may_be_empty,
        "repeated": repeated,
        "secret": secret,
        "path": path,
        "only_with": only_with or {},
        "known": None,
    }
    return dataclasses.field(default=default, metadata=metadata, repr=not secret)


def choice(known, default, help_text, **more):
    """A field whose value, or each of whose values, is one of the names `known`.

    `known` is looked at when the field is made: a dict of what can be chosen, or names.
    """
    field = flag(default, f"{help_text}: {', '.join(known)}", **more)
    return dataclasses.field(
        default=default, metadata={**field.metadata, "known": tuple(known)}
    )


@dataclasses.dataclass(frozen=True)
class Flags:
    """What all dataclasses of flags share: checks of every field."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            _check(field, getattr(self, field.name))
            if field.metadata["path"]:
                # Frozen, but not before it is made. A shell expands no `~` after a `=`.
                expanded = _expanded(getattr(self, field.name))
                object.__setattr__(self, field.name, expanded)

    @classmethod
    def of(cls, values):
        """This class, with those of {name: value} that are its flags."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: values[name] for name in names if name in values})

    def told(self):
        """{name: value} of all flags but the secret ones."""
        fields = dataclasses.fields(self)
        told = [field.name for field in fields if not field.metadata["secret"]]
        return {name: getattr(self, name) for name in told}

    def refuse_ignored(self):
        """Raises ValueError for a flag that is set, and that nothing would read."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            for other, values in field.metadata["only_with"].items():
                if value != field.default and getattr(self, other) not in values:
                    raise UserError(
                        f"`{field.name}` is read with --{other}="
                        f"{' or '.join(map(str, values))} only. Received: "
                        f"{field.name}={value}, {other}={getattr(self, other)}. Leave "
                        "one of them out."
                    )


NUMBERS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def kind_of(field):
    """(type of a value, whether None is one, whether there are several) of a field."""
    arguments = getattr(field.type, "__args__", ())
    if not arguments:
        return field.type, False, False
    return arguments[0], type(None) in arguments, Ellipsis in arguments


def _check(field, value):
    kind, may_be_none, is_several = kind_of(field)
    if value is None and may_be_none:
        return
    if is_several and not isinstance(value, (tuple, list)):
        raise UserError(f"`{field.name}` must be a tuple. Received: {value!r}.")
    for one in value if is_several else [value]:
        _check_one(field, kind, one, value)
    if is_several and not value and not field.metadata["may_be_empty"]:
        expected = _range_in_words(field.metadata["bounds"])
        raise UserError(
            f"`{field.name}` must be {expected or 'one at least'}. Received: none."
        )


def _check_one(field, kind, one, value):
    if field.metadata["known"] is not None and one not in field.metadata["known"]:
        known = ", ".join(field.metadata["known"])
        raise UserError(f"Unknown {field.name} {one!r}. Known: {known}.")
    fits = {
        int: isinstance(one, (int, np.integer)) and not isinstance(one, bool),
        float: isinstance(one, (int, float, np.number)) and not isinstance(one, bool),
        str: isinstance(one, (str, os.PathLike)),
        bool: isinstance(one, bool),
    }[kind]
    if not fits:
        raise UserError(f"`{field.name}` must be {NUMBERS[kind]}. Received: {value!r}.")
    bounds = field.metadata["bounds"]
    if kind in (int, float) and not (math.isfinite(one) and _is_in(one, **bounds)):
        raise UserError(
            f"`{field.name}` must be {_range_in_words(bounds)}. Received: {value}."
        )


def _is_in(value, at_least=-math.inf, above=-math.inf, at_most=math.inf,
           below=math.inf):  # fmt: skip
    return at_least <= value <= at_most and above < value < below


def _range_in_words(bounds):
    if not bounds:
        return ""
    if bounds == {"above": 0}:
        return "positive"
    if bounds.keys() == {"at_least"}:
        return f"at least {bounds['at_least']}"
    lowest = f"[{bounds['at_least']}" if "at_least" in bounds else f"({bounds['above']}"
    highest = f"{bounds['at_most']}]" if "at_most" in bounds else f"{bounds['below']})"
    return f"in {lowest}, {highest}"


def _expanded(value):
    """A path, or several, with the home folder in the place of `~`."""
    if isinstance(value, (tuple, list)):
        return tuple(_expanded(each) for each in value)
    if value is None:
        return None
    value = os.fspath(value)
    kind, _, path = value.partition(":")
    if path.startswith("~"):  # KIND:PATH; a scheme, as http:, is followed by slashes.
        return f"{kind}:{os.path.expanduser(path)}"
    return os.path.expanduser(value)
