"""Where a bank lies: all of it on each device, or a part on each."""

import os
import subprocess

import tensorflow as tf

from npid_tf.banks.memory_bank import MemoryBank
from npid_tf.banks.sharded_bank import ShardedMemoryBank
from npid_tf.errors import UserError

PLACEMENTS = {"replicated": MemoryBank, "sharded": ShardedMemoryBank}


def choose_placement(name, num_instances, embedding_dim, row_dtype, strategy):
    """MemoryBank or ShardedMemoryBank, by name.

    auto: sharded where a copy of the bank would take more than a quarter of a device's
    memory. Raises ValueError for an unknown name.
    """
    if name in PLACEMENTS:
        return PLACEMENTS[name]
    if name != "auto":
        raise UserError(
            f"Unknown bank_placement {name!r}. Known: auto, {', '.join(PLACEMENTS)}."
        )
    num_bytes = num_instances * embedding_dim * tf.as_dtype(row_dtype).size
    if strategy.num_replicas_in_sync > 1 and num_bytes > device_memory(strategy) / 4:
        return ShardedMemoryBank
    return MemoryBank


def device_memory(strategy):
    """Bytes of memory of the smallest device of a strategy in this process."""
    if tf.config.list_physical_devices("GPU"):
        query = ["nvidia-smi", "--query-gpu=memory.total"]
        try:
            lines = subprocess.check_output([*query, "--format=csv,noheader,nounits"])
        except (OSError, subprocess.CalledProcessError) as error:
            raise UserError(
                "nvidia-smi does not tell the memory of the GPUs. Pass "
                f"--bank_placement=replicated or sharded. Received: {error}"
            ) from error
        return min(int(line) for line in lines.split()) << 20
    num_local = len(strategy.extended.worker_devices)
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // num_local
