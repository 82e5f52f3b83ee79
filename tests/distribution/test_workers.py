"""What workers agree on, where there is one; two are in tests/distribution."""

import numpy as np
import pytest
import tensorflow as tf

from npid_tf.distribution import workers
from npid_tf.distribution.strategies import build_strategy


@pytest.fixture(params=["one_device", "mirrored"])
def strategy(request):
    return build_strategy(request.param)


def test_one_process_is_chief_and_agrees_with_itself(strategy):
    assert not workers.is_multi_worker(strategy)
    assert workers.is_chief(strategy)
    np.testing.assert_array_equal(workers.all_gather(strategy, [4, -1]), [[4, -1]])
    workers.barrier(strategy)


def test_sums_count_a_process_once(strategy):
    array = np.array([[1.5, 2.0]], np.float32)
    np.testing.assert_array_equal(workers.all_reduce_sum(strategy, array), array)


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
def test_one_process_ends_by_its_own_error(error):
    with (
        pytest.raises(type(error)),
        workers.ending_together(tf.distribute.get_strategy()),
    ):
        raise error
