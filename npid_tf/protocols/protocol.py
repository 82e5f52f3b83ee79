"""What a protocol is: its name, its function, its flags, and its tables."""

import typing
from collections.abc import Callable


class Protocol(typing.NamedTuple):
    """One way to evaluate a run.

    name: of `--protocol` and of the file of results.
    evaluate: from (TrainFlags of the run, the protocol's own flags) to the rows of its
        table: dicts with the same keys, in the order of the columns.
    flags: the dataclass of its own flags.
    published: from those rows to the rows of the table that MMSelfSup's model page has
        of the protocol, or None.
    variant: name of the flag across whose values results do not compare, or None: its
        value is part of the name of the results, as in knn_paper.
    """

    name: str
    evaluate: Callable
    flags: type
    published: Callable | None = None
    variant: str | None = None
