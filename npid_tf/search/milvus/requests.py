"""Asking for a collection in Milvus: how fresh an answer must be, and what failed."""

import functools
import time

import numpy as np

from npid_tf.errors import UnavailableError
from npid_tf.search.milvus.connection import NOT_FOUND, NOT_LOADED, answers

SECONDS = 10  # For an answer.
# A server answers with what it knew so long ago at most, if Bounded consistency is
# enough: Milvus's own figure of 5, and some for the clocks.
STALE_SECONDS = 6
READS = ("search", "query", "query_iterator", "get")


class Requests:
    """Requests to the collection that an alias names.

    Args:
        client: MilvusClient. uri: of it. alias: of the collection.

    Attributes:
        why_down: why Milvus did not answer when it was last asked; None: it did.
    """

    def __init__(self, client, uri, alias):
        self.why_down = None
        self._client, self._uri, self._alias = client, uri, alias
        self._changed = {"upsert": -np.inf, "delete": -np.inf}  # When it was so last.

    def ask(self, method, *arguments, timeout=SECONDS, **named):
        """What a method of the client answers for the collection.

        Reads see earlier changes of this client.

        Raises UnavailableError if Milvus does not answer within so many seconds.
        """
        from pymilvus import MilvusException

        if method in READS:
            named.setdefault("consistency_level", self._consistency())
        ask = functools.partial(
            getattr(self._client, method),
            self._alias,
            *arguments,
            timeout=timeout,
            **named,
        )
        try:
            with answers(self._uri):
                try:
                    answer = ask()
                except MilvusException as error:
                    if error.code not in (NOT_FOUND, NOT_LOADED):
                        raise
                    # Another export has just taken its place, or it was released.
                    self._client.load_collection(self._alias, timeout=timeout)
                    answer = ask()
        except UnavailableError as error:
            self.why_down = str(error)
            raise
        finally:
            if (
                method in self._changed
            ):  # Also on failure: the change may have been made.
                self._changed[method] = time.monotonic()
        self.why_down = None
        return answer

    def _consistency(self):
        """The consistency of a read: it must see the changes of this client.

        Milvus 2.3 does not say when it has deleted: only Strong, which waits for its
        next tick of 0.2 s, is certain to come after.
        """
        since = time.monotonic() - STALE_SECONDS
        if self._changed["delete"] > since:
            return "Strong"
        return "Session" if self._changed["upsert"] > since else "Bounded"
