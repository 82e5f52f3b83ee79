"""The measures of the benchmarks, on work whose size is known."""

import time

import numpy as np
import pytest
import tensorflow as tf

import measure


@pytest.mark.timing
def test_medians_do_not_mind_one_slow_call():
    pauses = iter([0.0, 0.0, 0.2, 0.0])  # the first does not count
    assert measure.median_seconds(lambda: time.sleep(next(pauses)), repeats=3) < 0.1


def test_contenders_take_turns():
    calls = []
    measure.interleaved_medians(
        {name: lambda name=name: calls.append(name) for name in "ab"}, repeats=2
    )
    assert "".join(calls) == "ababab"


@pytest.mark.timing
def test_peak_memory_counts_what_numpy_takes():
    peak = measure.peak_memory(lambda: np.ones(100 << 20, np.uint8).sum())
    assert 95 << 20 <= peak < 120 << 20


@pytest.mark.timing
def test_peak_memory_counts_what_tensorflow_takes_from_its_own_store():
    # tf.range fills 100 MB that cannot be folded into a constant; some pages of them
    # the process may have had before.
    work = tf.function(lambda n: tf.reduce_sum(tf.range(n) * 2))
    size = tf.constant(25 << 20)
    work(size)
    assert measure.peak_memory(lambda: work(size).numpy()) >= 99 << 20


def test_a_table_wants_a_value_for_every_column(capsys):
    measure.print_table(["a", "b"], [[1, "x"]])
    assert capsys.readouterr().out == "| a | b |\n| --- | --- |\n| 1 | x |\n"
    with pytest.raises(ValueError, match="1 values for 2 columns"):
        measure.print_table(["a", "b"], [[1]])
