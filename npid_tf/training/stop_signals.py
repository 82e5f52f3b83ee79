"""SIGTERM and Ctrl-C: what was learned is saved, then the process ends.

Exit statuses are the shell's for these signals, 143 and 130: who drains a machine and
starts again what did not end with 0 (a Kubernetes Job) starts the run again.
"""

import contextlib
import os
import signal
import threading
import warnings

NAMES = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "Ctrl-C"}


class Remembered:
    """Remembers a signal instead of being ended by it, from `start` to `stop`.

    A second Ctrl-C ends what is going on with KeyboardInterrupt. Signals that are
    ignored stay so. Outside of the main thread, which alone may, nothing is done.
    """

    def __init__(self):
        self.number = 0  # of the signal that came, else 0
        self._previous = {}

    def start(self):
        """Puts the handlers in place of those there are."""
        self.number = 0
        if threading.current_thread() is not threading.main_thread():
            return
        for number in NAMES:
            previous = signal.getsignal(number)
            if previous is None:
                warnings.warn(
                    f"{NAMES[number]} has a handler that Python cannot put back, and "
                    "is left to it: nothing is saved when it comes.",
                    stacklevel=2,
                )
            elif previous is not signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._remember)

    def stop(self):
        """Puts back the handlers that were there."""
        while self._previous:
            number, previous = self._previous.popitem()
            # Another's, put there since, is not ours to take away.
            if signal.getsignal(number) == self._remember:
                signal.signal(number, previous)

    def _remember(self, number, frame):
        if number == self.number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = number
        if number == signal.SIGINT:
            # Not by `print`, which a signal may have interrupted.
            os.write(2, b"\nCtrl-C: saving after this step; again ends it at once.\n")

    def leave(self, number):
        """Ends as the handler that was there before does, or with its exit status."""
        previous = self._previous.get(number)
        self.stop()
        if callable(previous):
            previous(number, None)
        raise SystemExit(128 + number)


@contextlib.contextmanager
def ending_by(handler):
    """Calls handler(number, frame) where one of the signals comes and is not ignored.

    Only where they have Python's own handlers or none.
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
