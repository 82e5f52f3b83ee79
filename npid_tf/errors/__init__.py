"""What the person who runs a program can put right.

Programs print these in one line and exit with 2. Any other error is a fault of the
package and keeps its traceback. Each is the built-in error of its kind as well, so that
`except ValueError` in people's Keras code goes on working.
"""

import errno


class UserError(ValueError):
    """A value, a flag or data that do not fit."""


class FileError(UserError, OSError):
    """A file or folder that cannot be read or written, or is damaged."""


class MissingPackageError(UserError, ImportError):
    """A package that is not installed; the message says how to install it."""


class UnavailableError(UserError):
    """A server that is needed and does not answer, or not yet."""


# Of the disk and the rights to it, wherever they come up: never a fault of the code.
_OF_THE_DISK = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
)


def is_of_user(error):
    """Whether an error is one that the user can put right."""
    return isinstance(error, UserError) or (
        isinstance(error, OSError) and error.errno in _OF_THE_DISK
    )
