"""What a program is given, without a command line."""

from npid_tf.command_line.given import Given


def given(*kinds, arguments=(), **values):
    """`Given` of the values of dataclasses of flags, and of values by name."""
    found = {}
    for flags in kinds:
        found |= flags.told()
    return Given({**found, **values}, list(arguments))
