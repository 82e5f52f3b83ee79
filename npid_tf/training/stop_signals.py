"""SIGTERM and Ctrl-C: what was learned is saved, then the process ends.

Exit statuses are the shell's for these signals, 143 and 130: a system that drains a
machine and restarts whatever did not exit with 0 (a Kubernetes Job) restarts the run.
"""

import contextlib
import os
import signal
import threading
import warnings

NAMES = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "Ctrl-C"}


class Remembered:
    """Remembers a signal instead of being ended by it, from `start` to `stop`.

    A second Ctrl-C raises KeyboardInterrupt. Ignored signals stay ignored. Does nothing
    outside of the main thread, since only that one may set handlers.
    """

    def __init__(self):
        self.number = 0  # of the signal that came, else 0
        self._previous = {}

    def start(self):
        """Installs the handlers."""
        self.number = 0
        if threading.current_thread() is not threading.main_thread():
            return
        for number in NAMES:
            previous = signal.getsignal(number)
            if previous is None:
                warnings.warn(
                    f"{NAMES[number]} has a handler that Python cannot restore, so it "
                    "stays in place: nothing is saved on that signal.",
                    stacklevel=2,
                )
            elif previous is not signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._remember)

    def stop(self):
        """Restores the previous handlers."""
        while self._previous:
            number, previous = self._previous.popitem()
            # A handler that another set since is not ours to remove.
            if signal.getsignal(number) == self._remember:
                signal.signal(number, previous)

    def _remember(self, number, frame):
        if number == self.number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = number
        if number == signal.SIGINT:
            # Not by `print`, which a signal may have interrupted.
            os.write(
                2,
                b"\nCtrl-C: saving after this step; press it again to exit at once.\n",
            )

    def leave(self, number):
        """Ends as the previous handler does, or with the signal's exit status."""
        previous = self._previous.get(number)
        self.stop()
        if callable(previous):
            previous(number, None)
        raise SystemExit(128 + number)


@contextlib.contextmanager
def ending_by(handler):
    """Calls handler(number, frame) if one of the signals comes and is not ignored.

    Only for signals that have Python's own handler or none.
    """
    handlers = {}
    if threading.current_thread() is threading.main_thread():
        for number in NAMES:
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                handlers[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, previous in handlers.items():
            signal.signal(number, previous)
