"""A live index answers as a plain dict of its items would, through anything."""

import os
import shutil
import sys

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from npid_tf.search.live.index import LiveIndex
from tests.support.vectors import unit_rows

NAMES = [str(number) for number in range(12)]  # "0" to "4" are of the export.


class LikeADict(RuleBasedStateMachine):
    """A LiveIndex beside a dict from id to (vector, label)."""

    make_index = None

    @initialize()
    def open_an_export(self):
        self.directory, vectors = type(self).make_index()
        self.model = {
            str(n): (vector, f"class {n}") for n, vector in enumerate(vectors)
        }
        self.random = np.random.default_rng(1)
        self.index = LiveIndex(self.directory)

    def _vectors(self, n):
        vectors = self.random.normal(size=[n, 8]).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    @rule(names=st.lists(st.sampled_from(NAMES), unique=True), labelled=st.booleans())
    def upsert(self, names, labelled):
        vectors = self._vectors(len(names))
        labels = [f"class {name}" if labelled else None for name in names]
        self.index.upsert(names, vectors, labels if labelled else None)
        items = zip(vectors, labels, strict=True)
        self.model.update(zip(names, items, strict=True))

    @rule(names=st.lists(st.sampled_from(NAMES)))
    def delete(self, names):
        there = set(names) & set(self.model)
        assert self.index.delete(names) == len(there)
        for name in there:
            del self.model[name]

    @rule(name=st.sampled_from(NAMES), scale=st.sampled_from([0, np.nan, 2]))
    def refuse(self, name, scale):
        with pytest.raises(ValueError, match="must"):
            self.index.upsert([name, "other"], self._vectors(2) * [[1], [scale]])

    @rule()
    def compact(self):
        self.index.compact()
        assert self.index.stats()["log_changes"] == 0

    @rule(kept=st.floats(0, 1), with_zeros=st.booleans())
    def crash(self, kept, with_zeros):
        """The lock goes as with the process; a torn record may be left behind: the
        beginning of one, and zeros for the rest of it where power was lost."""
        log = self.index._files.log
        before = os.path.getsize(log)
        self.index.upsert(["torn"], self._vectors(1))
        self.index.close()
        length = os.path.getsize(log) - before
        # A record that lacks its last bytes alone might as well be a damaged one.
        size = before + int(kept * (length - (28 if with_zeros else 1)))
        os.truncate(log, size)
        if with_zeros:
            os.truncate(log, before + length)
        self.index = LiveIndex(self.directory)
        torn = length if with_zeros else size - before
        assert self.index.stats()["torn_bytes_cut"] == torn

    @rule(k=st.integers(1, 15))
    def search(self, k):
        queries = self._vectors(3)
        ids, similarities, exact = self.index.search(queries, k)
        assert exact
        names = list(self.model)
        if not names:
            assert ids == [[]] * 3
            return
        vectors = np.stack([vector for vector, _ in self.model.values()])
        products = queries @ vectors.T
        order = np.argsort(-products, axis=1)[:, :k]
        assert ids == [[names[place] for place in line] for line in order]
        expected = np.take_along_axis(products, order, axis=1)
        np.testing.assert_allclose(similarities, expected, atol=1e-5)

    @invariant()
    def holds_what_the_dict_holds(self):
        assert len(self.index) == self.index.stats()["items"] == len(self.model)
        assert sorted(self.index.ids()) == sorted(self.model)
        for name, (vector, label) in self.model.items():
            assert name in self.index
            assert self.index.labels([name]) == [label]
            stored = self.index.embeddings([name])[0]
            np.testing.assert_allclose(stored, vector, atol=1e-6)

    def teardown(self):
        self.index.close()


@pytest.mark.parametrize("with_scann", [True, False])
def test_it_answers_as_a_dict_would(make_index, monkeypatch, with_scann):
    if with_scann:
        pytest.importorskip("scann")
    else:
        monkeypatch.setitem(sys.modules, "scann", None)
    first = make_index(5, [f"class {n}" for n in range(5)])
    copies = iter(range(10**6))

    def make():
        directory = f"{first}-{next(copies)}"
        shutil.copytree(first, directory)
        return directory, unit_rows(5)

    machine = type("Machine", (LikeADict,), {"make_index": staticmethod(make)})
    # With ScaNN a compaction takes longer.
    size = 6 if with_scann else 12
    machine.TestCase.settings = settings(
        max_examples=size, stateful_step_count=30, deadline=None
    )
    machine.TestCase().runTest()
