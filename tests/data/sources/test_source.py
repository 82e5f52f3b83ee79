"""Indices are the same images whatever the order, and orders are repeatable."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npid_tf.data.sources.source import (
    RandomAccess,
    check_same_classes,
    check_unchanged,
)


def source_of(num_instances):
    return RandomAccess(
        read=lambda index: 100 + index, num_instances=num_instances, fingerprint={}
    )


def pairs(source, dataset):
    return [(int(index), int(source.record(handle))) for index, handle in dataset]


def test_in_order_counts_up():
    source = source_of(4)
    expected = [(0, 100), (1, 101), (2, 102), (3, 103)]
    assert pairs(source, source.in_order()) == expected


@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    num_instances=st.integers(1, 40),
    seed=st.integers(0, 2**40),
    epoch=st.integers(0, 1000),
)
def test_an_epoch_has_every_image_once_under_its_own_index(num_instances, seed, epoch):
    source, again = source_of(num_instances), source_of(num_instances)
    shuffled = pairs(source, source.shuffled(seed, epoch))
    assert sorted(shuffled) == [(i, 100 + i) for i in range(num_instances)]
    assert shuffled == pairs(again, again.shuffled(seed, epoch))


def test_orders_differ_between_epochs_and_between_seeds():
    source = source_of(30)
    orders = {
        tuple(pairs(source, source.shuffled(seed, epoch)))
        for seed in (0, 1)
        for epoch in (0, 1, 2)
    }
    assert len(orders) == 6


def test_a_shuffle_read_twice_gives_the_same_order():
    source = source_of(30)
    shuffled = source.shuffled(3, 4)
    assert pairs(source, shuffled) == pairs(source, shuffled)


def test_shuffling_and_listing_read_nothing():
    def read(index):
        raise AssertionError("read while shuffling")

    source = RandomAccess(read, num_instances=5, fingerprint={})
    assert sorted(int(index) for index, _ in source.shuffled(0, 0)) == list(range(5))
    assert [int(index) for index, _ in source.in_order()] == list(range(5))


def test_unchanged_data_pass():
    check_unchanged({"name": "a", "sizes": [1, 2]}, {"name": "a", "sizes": [1, 2]})


def test_changed_data_are_told_by_what_changed():
    saved = {"name": "a", "num_instances": 3, "sha256": "x"}
    with pytest.raises(ValueError, match="--workdir") as raised:
        check_unchanged(saved, {"name": "a", "num_instances": 4, "extra": 1})
    assert "num_instances was 3, now 4" in str(raised.value)
    assert "sha256 was x, now None" in str(raised.value)
    assert "extra was None, now 1" in str(raised.value)
    assert "name was" not in str(raised.value)


def test_only_known_and_different_classes_are_refused():
    sources = {
        names: RandomAccess(None, 1, {}, np.zeros(1, np.int64), names)
        for names in (("a", "b"), ("a", "c"), None)
    }
    ours = sources["a", "b"]
    check_same_classes(ours, ours)
    check_same_classes(ours, sources[None])
    check_same_classes(sources[None], ours)
    with pytest.raises(ValueError, match=r"2 \(a, c\), expected 2 \(a, b\)"):
        check_same_classes(ours, sources["a", "c"])
