"""Requests that arrive together are answered by one call.

Ours, and not TensorFlow's `nondifferentiable_batch_function`: there an image that does
not decode fails the whole batch, a batch is bounded by its rows and not by the pixels
they take, and each request that waits occupies a thread.
"""

import asyncio
import collections
import concurrent.futures
import contextlib
import dataclasses

import numpy as np
import tensorflow as tf

from npid_tf.errors import UserError
from npid_tf.server.limits import RequestError


@dataclasses.dataclass
class _Waiting:
    inputs: dict
    rows: int
    cost: int
    since: float
    future: asyncio.Future


class Batcher:
    """Collects the rows of requests and hands them to a function together.

    Requests of one key make a batch: max_rows of them, or what came within max_delay of
    the first, or while the batch before was computed. All of it happens in one event
    loop but the function, which runs in a thread.

    Args:
        max_rows: rows of a batch.
        max_cost: cost of a batch, in the units of `run`.
        max_delay: seconds that a row waits for others.
        max_queue: rows that wait; past it requests are refused.
        observe: called with the rows of every batch.
    """

    def __init__(self, max_rows, max_cost, max_delay, max_queue, observe=None):
        self.max_rows = max_rows
        self.max_cost = max_cost
        self.max_delay = max_delay
        self.max_queue = max_queue
        self.observe = observe or (lambda rows: None)
        self.num_waiting = 0
        self._groups = {}
        self._tasks = set()
        self._pool = concurrent.futures.ThreadPoolExecutor(2, "batch")

    async def run(self, key, function, inputs, costs):
        """What `function` returns for the inputs.

        Args:
            key: function and shapes must be equal for equal keys.
            function: {name: array [rows, ...]} -> {name: array [rows, ...]}, in a
                thread.
            inputs: {name: array [rows, ...]}.
            costs: of each row.

        Raises:
            RequestError: 503 if too many rows wait, 400 if the function finds
                this request's rows invalid (InvalidArgumentError).
        """
        if self.num_waiting + len(costs) > self.max_queue:
            raise RequestError(
                503,
                f"{self.num_waiting} images wait already, of at most {self.max_queue}. "
                "Try again in a moment.",
            )
        parts = [
            self._enqueue(
                key,
                function,
                {name: value[part] for name, value in inputs.items()},
                costs[part],
            )
            for part in self._split(costs)
        ]
        return concatenate(await asyncio.gather(*parts))

    def close(self):
        """Ends the threads, after what they compute."""
        self._pool.shutdown()

    def _split(self, costs):
        """Slices of the rows, each of which fits a batch or is a single row."""
        start, cost = 0, 0
        for row, row_cost in enumerate(costs):
            full = row - start == self.max_rows or cost + row_cost > self.max_cost
            if row > start and full:
                yield slice(start, row)
                start, cost = row, 0
            cost += row_cost
        yield slice(start, len(costs))

    def _enqueue(self, key, function, inputs, costs):
        loop = asyncio.get_running_loop()
        item = _Waiting(
            inputs, len(costs), sum(costs), loop.time(), loop.create_future()
        )
        self.num_waiting += item.rows
        if key not in self._groups:
            self._groups[key] = (collections.deque(), asyncio.Event())
            task = loop.create_task(self._answer(key, function))
            self._tasks.add(task)  # The loop itself would let it go.
            task.add_done_callback(self._tasks.discard)
        waiting, full = self._groups[key]
        waiting.append(item)
        if sum(item.rows for item in waiting) >= self.max_rows:
            full.set()
        return item.future

    async def _answer(self, key, function):
        loop = asyncio.get_running_loop()
        waiting, full = self._groups[key]
        while waiting:
            delay = waiting[0].since + self.max_delay - loop.time()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(full.wait(), max(0, delay))
            batch = self._take(waiting)
            if sum(item.rows for item in waiting) < self.max_rows:
                full.clear()
            if batch:
                self.observe(sum(item.rows for item in batch))
                results = await loop.run_in_executor(
                    self._pool, _run_together, function, batch
                )
                for item, result in zip(batch, results, strict=True):
                    _resolve(item.future, result)
        del self._groups[key]

    def _take(self, waiting):
        batch, rows, cost = [], 0, 0
        while waiting:
            item = waiting[0]
            rows, cost = rows + item.rows, cost + item.cost
            if batch and (rows > self.max_rows or cost > self.max_cost):
                break
            waiting.popleft()
            self.num_waiting -= item.rows
            if item.future.cancelled():  # Its request has timed out.
                rows, cost = rows - item.rows, cost - item.cost
            else:
                batch.append(item)
        return batch


def _run_together(function, batch):
    """For each item of the batch its outputs, or the exception it caused."""
    try:
        outputs = function(concatenate([item.inputs for item in batch]))
    except (tf.errors.InvalidArgumentError, UserError) as error:
        if len(batch) == 1:
            return [RequestError(400, plain_message(error))]
        # One bad image must not fail the others: each by itself.
        return [_run_together(function, [item])[0] for item in batch]
    except Exception as error:  # For the waiting requests, not for this thread.
        return [error] * len(batch)
    ends = np.cumsum([item.rows for item in batch])
    return [
        {name: value[end - item.rows : end] for name, value in outputs.items()}
        for item, end in zip(batch, ends, strict=True)
    ]


def concatenate(parts):
    """One {name: array} of several, row after row."""
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def plain_message(error):
    """The reason in an error of TensorFlow, without where in the graph it was, or of
    ours."""
    if isinstance(error, UserError):
        return str(error)
    return error.message.split("\n\t [[")[0].splitlines()[-1]


def _resolve(future, result):
    if future.cancelled():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
