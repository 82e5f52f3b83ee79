"""The same 20 steps on one device, on several, and on two workers (see steps.py)."""

import json
import os
import pathlib

import numpy as np
import pytest

from tests.distribution.programs.record_steps import PINNED, digest, hashes
from tests.support import programs

# All take many minutes: DEVICES=2,3,4 LOSSES=softmax,nce_shared,nce_per_sample,\
# sampled_shared,sampled_per_sample,classifier,recent \
# pytest tests/distribution/test_steps.py
DEVICES = [int(number) for number in os.environ.get("DEVICES", "2").split(",")]
LOSSES = os.environ.get("LOSSES", "nce_shared,classifier").split(",")
WITH_OWN_ROWS = {"classifier", "recent"}.intersection(LOSSES)
N = 51
RECORDED = pathlib.Path(__file__).parent / "recorded" / "d43bdf2.json"


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    path = tmp_path_factory.mktemp("steps") / "one.npz"
    programs.finish(programs.start([programs.STEPS, 1, path, *LOSSES], **PINNED))
    return np.load(path)


@pytest.fixture(
    scope="module", params=[*DEVICES, pytest.param("2 workers", marks=pytest.mark.slow)]
)
def several(tmp_path_factory, request):
    """The results of each process, and the number of replicas."""
    folder = tmp_path_factory.mktemp("steps")
    if request.param == "2 workers":
        arguments = [programs.STEPS, 0, folder / "{worker}.npz", *LOSSES]
        for process in programs.start_workers(arguments):
            programs.finish(process)
        return [np.load(folder / "0.npz"), np.load(folder / "1.npz")], 2
    arguments = [programs.STEPS, request.param, folder / "it.npz", *LOSSES]
    programs.finish(programs.start(arguments, **PINNED))
    return [np.load(folder / "it.npz")], request.param


def names(results, ending):
    return [name for name in results.files if ending in name.split(".")[-1]]


def test_losses_weights_and_bank_equal_those_of_one_device(one_device, several):
    processes, _ = several
    compared = [
        name
        for ending in ("losses", "bank", "weight")
        for name in names(one_device, ending)
    ]
    # Each loss with either bank: losses, bank, and the encoder's 12 weights.
    num_runs = 2 * len(LOSSES) - len(WITH_OWN_ROWS)
    assert len(compared) == num_runs * (1 + 1 + 12)
    for results in processes:
        for name in compared:
            expected = one_device[name]
            # Moving variances reach 30: compared by their own size.
            tolerance = 1e-5 * max(1, np.abs(expected).max())
            np.testing.assert_allclose(
                results[name], expected, rtol=0, atol=tolerance, err_msg=name
            )


def test_the_steps_change_what_is_compared(one_device):
    for name in names(one_device, "losses"):
        assert np.abs(np.diff(one_device[name])).max() > 0.01
    for name in names(one_device, "bank"):
        first = one_device[name.replace(".bank", ".first")]
        assert np.abs(one_device[name] - first).max() > 0.01


def test_copies_of_a_replicated_bank_are_equal_bit_for_bit(several):
    processes, num_replicas = several
    found = 0
    for results in processes:
        for name in names(results, "copy"):
            if ".replicated." in name:
                bank = results[name.rsplit(".", 1)[0] + ".bank"]
                np.testing.assert_array_equal(results[name], bank)
                np.testing.assert_array_equal(results[name], processes[0][name])
                found += 1
    assert found == (len(LOSSES) - len(WITH_OWN_ROWS)) * num_replicas


def test_a_replica_of_a_sharded_bank_holds_its_rows_and_no_others(several):
    processes, num_replicas = several
    rank = 0
    for results in processes:
        for copy in range(num_replicas // len(processes)):
            first, end = (N * r // num_replicas for r in (rank, rank + 1))
            shard = results[f"{LOSSES[0]}.sharded.copy{copy}"]
            held = results[f"{LOSSES[0]}.sharded.held"]
            np.testing.assert_array_equal(shard, held[first:end])
            assert results[f"{LOSSES[0]}.sharded.room{copy}"] == -(-N // num_replicas)
            rank += 1
    assert rank == num_replicas


def assert_as_recorded(results, replicas):
    """Every bit as the code of d43bdf2 had it, where this processor rounds alike."""
    record = json.loads(RECORDED.read_text(encoding="utf-8"))
    before, now = record[str(replicas)], hashes(results)
    if digest(results["canary"]) == record["canary"]:
        assert now == {name: before["hashes"][name] for name in now}
    for name in names(results, "losses"):
        np.testing.assert_allclose(results[name], before["losses"][name], rtol=1e-4)


def test_one_device_takes_the_steps_of_d43bdf2(one_device):
    assert_as_recorded(one_device, 1)


def test_two_devices_take_the_steps_of_d43bdf2(several):
    processes, num_replicas = several
    if (len(processes), num_replicas) != (1, 2):
        pytest.skip("Recorded for two devices of one process.")
    assert_as_recorded(processes[0], 2)
