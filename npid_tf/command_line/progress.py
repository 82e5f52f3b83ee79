"""Bars with the time left, on standard error, for steps that take long.

Programs show them; whoever calls the same functions from Python sees none. A terminal
has a bar that moves, the file of a log a line every ten seconds at most, and a step of
a few seconds nothing.
"""

import sys
import time

import tqdm

PATIENCE = 3  # seconds before a bar appears
REFRESH = 0.2  # seconds between two states of a bar
BETWEEN_LINES = 10  # seconds, where the output is no terminal
_shown = False


def show_progress():
    """Shows the bars from now on: of programs, before they do anything."""
    global _shown
    _shown = True


def progress(what, total=None, unit="images"):
    """A bar to use in `with`; its `update(n)` says that n more are done.

    Args:
        what: is being done, as in "Embedding".
        total: how many there are; None: not known, and so is the time left.
        unit: what is counted.
    """
    bar = _Bar if sys.stderr.isatty() else _Lines
    return bar(
        desc=what,
        total=total,
        unit=f" {unit}",
        delay=PATIENCE,
        mininterval=REFRESH,
        miniters=1,
        dynamic_ncols=True,
        disable=not _shown,
    )


class _Bar(tqdm.tqdm):
    monitor_interval = 0  # No thread: updates come often.


class _Lines:
    """Has `update` as tqdm, and prints a line of its own for each state."""

    def __init__(self, desc, total, unit, disable, **_):
        self._what, self._total, self._unit = desc, total, unit
        self._start = self._last = time.monotonic()
        self._disable = disable
        self._done = self._printed = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._printed and self._printed < self._done:
            self._print()

    def update(self, n=1):
        self._done += n
        if not self._disable and time.monotonic() - self._last >= BETWEEN_LINES:
            self._print()

    def _print(self):
        self._last, self._printed = time.monotonic(), self._done
        seconds = self._last - self._start
        state = tqdm.tqdm.format_meter(
            self._done, self._total, seconds, prefix=self._what, unit=self._unit,
            bar_format="{desc}: {percentage:.0f}%, {n_fmt} of {total_fmt}{unit}, "
            "{remaining} left" if self._total else None,
        )  # fmt: skip
        print(state, file=sys.stderr, flush=True)
