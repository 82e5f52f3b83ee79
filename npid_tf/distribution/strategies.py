"""Which devices train: tf.distribute strategies by name."""

import functools
import json
import os

import tensorflow as tf

from npid_tf.checks.arguments import one_of
from npid_tf.errors import FileError, UserError

STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker")


def build_strategy(name):
    """A tf.distribute strategy. Where it is multi_worker, call it before all else.

    auto: multi_worker where TF_CONFIG or Slurm tell of other workers, mirrored where
    more than one GPU is visible, else one_device. Raises UserError for an unknown
    name, or where nothing tells of the workers.
    """
    one_of("strategy", name, STRATEGIES)
    if name == "multi_worker" or (name == "auto" and _has_workers()):
        return _multi_worker_strategy()
    return build_local_strategy(name)


def build_local_strategy(name):
    """The same on this process's devices alone, for programs that one process runs."""
    gpus = tf.config.list_logical_devices("GPU")
    if name == "mirrored" or (name != "one_device" and len(gpus) > 1):
        devices = gpus or tf.config.list_logical_devices("CPU")
        return _mirrored_strategy(tuple(device.name for device in devices))
    return tf.distribute.get_strategy()


# One a process: each numbers its collective operations from the same start, and those
# of a second one fail where their shapes differ from the first one's.
@functools.cache
def _mirrored_strategy(devices):
    return tf.distribute.MirroredStrategy(devices)


@functools.cache
def _multi_worker_strategy():
    if not _has_workers():
        raise UserError(
            "--strategy=multi_worker needs to know the workers. Set TF_CONFIG for each "
            "process (see export/), or start it with Slurm's srun."
        )
    if "TF_CONFIG" not in os.environ:
        os.environ["TF_CONFIG"] = json.dumps(_slurm_cluster())
    try:
        config = json.loads(os.environ["TF_CONFIG"])
        address = config["cluster"][config["task"]["type"]][config["task"]["index"]]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise UserError(
            'TF_CONFIG must be like {"cluster": {"worker": ["host1:port", "host2:port'
            '"]}, "task": {"type": "worker", "index": 0}}, with another index for each '
            f"worker. Received: {os.environ['TF_CONFIG']}"
        ) from error
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise FileError(
            f"The worker at {address} did not find the others: {error.message}"
        ) from error


def _has_workers():
    in_slurm = int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1
    return "TF_CONFIG" in os.environ or in_slurm


def _slurm_cluster():
    """The value of TF_CONFIG for a task that srun started."""
    # One GPU a task only satisfies the resolver: it cannot describe none, and which
    # GPUs a task sees is Slurm's to say.
    resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
        gpus_per_node=1 << 16, gpus_per_task=1, auto_set_gpu=False
    )
    cluster = resolver.cluster_spec().as_dict()
    task_type, task_id = resolver.get_task_info()
    return {"cluster": cluster, "task": {"type": task_type, "index": task_id}}
