"""Batches: what comes together goes together, and everyone gets their own rows."""

import asyncio
import threading

import numpy as np
import pytest
import tensorflow as tf

from npid_tf.server.batching import Batcher
from npid_tf.server.limits import RequestError


def make_batcher(max_rows=8, max_cost=1000, max_delay=0.05, max_queue=100):
    sizes = []
    batcher = Batcher(max_rows, max_cost, max_delay, max_queue, sizes.append)
    return batcher, sizes


def double(inputs):
    return {"y": 2 * inputs["x"]}


def rows(*values):
    return {"x": np.array(values)}


async def ask(batcher, values, key="key", function=double, cost=1):
    outputs = await batcher.run(key, function, rows(*values), [cost] * len(values))
    return outputs["y"].tolist()


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 30))


def test_requests_that_come_together_share_a_call_and_get_their_own_rows():
    batcher, sizes = make_batcher()

    async def main():
        return await asyncio.gather(*(ask(batcher, [n, -n]) for n in range(4)))

    assert run(main()) == [[2 * n, -2 * n] for n in range(4)]
    assert sizes == [8]
    assert batcher.num_waiting == 0


def test_a_full_batch_does_not_wait_and_a_lone_request_waits_no_longer_than_told():
    batcher, sizes = make_batcher(max_rows=2, max_delay=20)

    async def main():
        await asyncio.gather(ask(batcher, [1]), ask(batcher, [2]))
        batcher.max_delay = 0.01
        return await ask(batcher, [3])

    assert run(main()) == [6]
    assert sizes == [2, 1]


def test_what_comes_while_a_batch_is_computed_makes_the_next():
    batcher, sizes = make_batcher(max_delay=0)
    started, go_on = threading.Event(), threading.Event()

    def wait(inputs):
        started.set()
        assert go_on.wait(20)
        return double(inputs)

    async def main():
        first = asyncio.create_task(ask(batcher, [1], function=wait))
        await asyncio.to_thread(started.wait)
        rest = [asyncio.create_task(ask(batcher, [n], function=wait)) for n in (2, 3)]
        await asyncio.sleep(0.01)
        go_on.set()
        return await asyncio.gather(first, *rest)

    assert run(main()) == [[2], [4], [6]]
    assert sizes == [1, 2]


def test_other_keys_make_other_batches():
    batcher, sizes = make_batcher()

    async def main():
        await asyncio.gather(ask(batcher, [1], "a"), ask(batcher, [2], "b"))

    run(main())
    assert sizes == [1, 1]


def test_a_request_larger_than_a_batch_is_split_by_rows_and_by_cost():
    batcher, sizes = make_batcher(max_rows=3, max_cost=10)
    values = list(range(8))
    assert run(ask(batcher, values)) == [2 * value for value in values]
    assert sizes == [3, 3, 2]
    assert run(ask(batcher, values[:3], cost=6)) == [0, 2, 4]
    assert sizes[3:] == [1, 1, 1]
    assert run(ask(batcher, [5], cost=99)) == [10]


def test_past_the_queue_requests_are_refused():
    batcher, _ = make_batcher(max_queue=3, max_delay=0.2)

    async def main():
        waiting = asyncio.create_task(ask(batcher, [1, 2]))
        await asyncio.sleep(0)
        with pytest.raises(RequestError, match="2 images wait already") as caught:
            await ask(batcher, [3, 4])
        assert caught.value.status == 503
        return await waiting

    assert run(main()) == [2, 4]


def test_a_bad_row_fails_its_request_alone():
    batcher, sizes = make_batcher()

    def refuse_negative(inputs):
        if (inputs["x"] < 0).any():
            raise tf.errors.InvalidArgumentError(
                None, None, "Graph execution error:\n\nat\nIt is bad\n\t [[{{node x}}]]"
            )
        return double(inputs)

    async def main():
        return await asyncio.gather(
            *(ask(batcher, [n], function=refuse_negative) for n in (1, -1, 2)),
            return_exceptions=True,
        )

    one, error, two = run(main())
    assert (one, two, sizes) == ([2], [4], [3])
    assert isinstance(error, RequestError)
    assert (error.status, error.message) == (400, "It is bad")


def test_other_errors_reach_all_requests_and_the_batcher_goes_on():
    batcher, _ = make_batcher()

    def fail(inputs):
        raise RuntimeError("broken")

    async def main():
        asking = [ask(batcher, [n], function=fail) for n in (1, 2)]
        results = await asyncio.gather(*asking, return_exceptions=True)
        assert [str(result) for result in results] == ["broken", "broken"]
        return await ask(batcher, [3])

    assert run(main()) == [6]


def test_who_gave_up_waiting_is_not_computed():
    batcher, sizes = make_batcher(max_delay=0.1)

    async def main():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask(batcher, [1]), 0.01)
        return await ask(batcher, [2])

    assert run(main()) == [4]
    assert sizes == [1]
    assert batcher.num_waiting == 0


def test_closing_ends_the_threads():
    before = set(threading.enumerate())
    batcher, _ = make_batcher(max_delay=0)
    run(ask(batcher, [1]))
    batcher.close()
    assert set(threading.enumerate()) <= before
