"""Strategies and placements by name."""

import json

import pytest
import tensorflow as tf

from npid_tf.banks import placement
from npid_tf.banks.placement import choose_placement
from npid_tf.distribution import strategies
from npid_tf.distribution.strategies import build_local_strategy, build_strategy


def test_auto_is_one_device_where_there_is_no_gpu():
    assert build_strategy("auto").num_replicas_in_sync == 1
    assert build_strategy("one_device").num_replicas_in_sync == 1


def test_mirrored_takes_all_devices_and_is_one_object():
    strategy = build_strategy("mirrored")
    assert strategy.num_replicas_in_sync == 2
    assert build_strategy("mirrored") is strategy


def test_programs_of_one_process_leave_the_other_workers_alone(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "not even read")
    for name in ("auto", "multi_worker"):
        assert build_local_strategy(name).num_replicas_in_sync == 1


def test_unknown_strategies_list_the_known():
    message = "Unknown strategy 'tpu'. Known: auto, one_device, mirrored, multi_worker"
    with pytest.raises(ValueError, match=message):
        build_strategy("tpu")


def test_multi_worker_without_workers_says_how_to_tell_of_them(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match="Set TF_CONFIG for each process"):
        build_strategy("multi_worker")


@pytest.mark.parametrize(
    "config",
    [
        "{",
        json.dumps({"cluster": {"worker": ["localhost:1"]}}),
        json.dumps(
            {
                "cluster": {"worker": ["localhost:1"]},
                "task": {"type": "worker", "index": 1},
            }
        ),
    ],
)
def test_a_wrong_tf_config_is_shown_beside_a_right_one(monkeypatch, config):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(ValueError, match=r"TF_CONFIG must be like .* Received: \{"):
        build_strategy("auto")


def test_the_cluster_of_slurm_is_read_from_its_environment(monkeypatch):
    for name, value in {
        "SLURM_PROCID": "2",
        "SLURM_STEP_NUM_TASKS": "3",
        "SLURM_STEP_NODELIST": "node[07-08]",
        "SLURM_STEP_TASKS_PER_NODE": "2,1",
    }.items():
        monkeypatch.setenv(name, value)
    assert strategies._slurm_cluster() == {
        "cluster": {"worker": ["node07:8888", "node07:8889", "node08:8888"]},
        "task": {"type": "worker", "index": 2},
    }


def chosen(name, num_instances, row_dtype, strategy):
    return choose_placement(
        name, num_instances, 4, row_dtype=row_dtype, strategy=strategy
    )


def test_placements_by_name():
    one = tf.distribute.get_strategy()
    assert chosen("replicated", 10, "float32", one) == "replicated"
    assert chosen("sharded", 10, "float32", one) == "sharded"
    message = "Unknown bank_placement 'x'. Known: auto, replicated, sharded"
    with pytest.raises(ValueError, match=message):
        chosen("x", 10, "float32", one)


def test_auto_shards_what_takes_more_than_a_quarter_of_a_device(monkeypatch):
    monkeypatch.setattr(placement, "device_memory", lambda strategy: 4 * 800)
    two = build_strategy("mirrored")
    # 4 float32 a row: 50 rows are 800 bytes.
    assert chosen("auto", 50, "float32", two) == "replicated"
    assert chosen("auto", 51, "float32", two) == "sharded"
    assert chosen("auto", 51, "bfloat16", two) == "replicated"
    one = tf.distribute.get_strategy()
    assert chosen("auto", 51, "float32", one) == "replicated"


def test_the_memory_of_a_machine_is_shared_by_its_devices():
    two = build_strategy("mirrored")
    assert 1 << 28 < placement.device_memory(two) < 1 << 44
