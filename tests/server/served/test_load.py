"""Sixteen clients at once, for a second: benchmarks/serving.py in its short form."""

import pytest

from serving import load, make_bodies, mean_batch


@pytest.mark.timing
def test_all_are_answered_and_in_batches(server):
    seconds = load(server.port, 16, 1.0, make_bodies(8))
    assert len(seconds) >= 16  # An answer that is none raises.
    # Not by much: the clients share this process, and its lock, with the server.
    assert mean_batch(server.port) > 1.1
