"""Engines by name, and what they need."""

import pytest

from npid_tf.errors import UserError
from npid_tf.search.engines import ENGINES, get_engine
from npid_tf.server.index_source import SOURCES


def test_engines_and_what_they_need():
    assert get_engine("scann", None).name == "scann"
    assert get_engine("milvus", "items.db").name == "milvus"
    with pytest.raises(UserError, match=r"'faiss'\. Known: scann, milvus"):
        get_engine("faiss", None)
    with pytest.raises(UserError, match=r"`uri` is required.* Pass --uri="):
        get_engine("milvus", None)


def test_a_server_opens_the_index_of_every_engine():
    assert SOURCES.keys() == ENGINES.keys()
