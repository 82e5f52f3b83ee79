"""Limits of requests, and the errors of those beyond them."""

import dataclasses
import reprlib


class RequestError(Exception):
    """Why a request is not served: an HTTP status, 400 to 507, and a message."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status
        self.message = message


@dataclasses.dataclass(frozen=True)
class Limits:
    """The bounds of a server; past them a request is refused, not queued.

    Args:
        body_bytes: of a request's body or gRPC message.
        pixels: of an image, from its header; also of all images decoded at once.
        images: of a request.
        k: neighbors.
        queue: images that wait for a batch, and requests that are answered at once.
        seconds: for a request, its body included.
    """

    body_bytes: int = 32 << 20
    pixels: int = 50_000_000
    images: int = 64
    k: int = 1000
    queue: int = 256
    seconds: float = 30.0

    def check_num_images(self, number):
        """Raises RequestError for no images, or more than a request may hold."""
        if not 1 <= number <= self.images:
            raise RequestError(
                400 if number == 0 else 413,
                f"A request must hold 1 to {self.images} images. Received: {number}.",
            )

    def check_k(self, k):
        """Raises RequestError unless k is an integer in [1, k]."""
        if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= self.k:
            raise RequestError(
                400,
                f"`k` must be a whole number in [1, {self.k}]. Received: "
                f"{abridged(k)}.",
            )


def abridged(value):
    """A value of a request, shortened for an error message."""
    # Never all of it as text: a value may be a million lists.
    text = value[:81] if isinstance(value, str) else _SHORT.repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


_SHORT = reprlib.Repr()
_SHORT.maxlevel = 6
_SHORT.maxdict = _SHORT.maxlist = _SHORT.maxtuple = 12
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80
