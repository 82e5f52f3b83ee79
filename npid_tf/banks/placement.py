"""Where rows lie: all of them on each device, or a part on each.

A placement says which rows a replica holds, and what the replicas of a step exchange so
that each of its images is compared with all rows.
"""

import os
import subprocess

import tensorflow as tf

from npid_tf.checks.arguments import one_of
from npid_tf.distribution import replicas
from npid_tf.errors import UserError


class Replicated:
    """All rows on each device: a replica compares its own images with its own copy."""

    is_whole = True  # Each device holds all rows.

    def bounds(self, num_rows, rank, num_replicas):
        """(first, end): the rows that the replica of this rank holds."""
        return 0, num_rows

    def all_gather(self, batch):
        """The images that a replica compares with the rows it holds: its own."""
        return batch

    def all_reduce_sum(self, sums, batch):
        """Sums over held rows for `all_gather(batch)` -> over all rows for `batch`."""
        return sums

    def global_to_local(self, values, batch):
        """Of values for all replicas' images those for `all_gather(batch)`."""
        return replicas.local_slice(values, batch)

    def distinct(self, parts):
        """Of the parts of a process those that are no copies of one another."""
        return parts[:1]

    def saved_by(self, local_ranks, parts):
        """Of the parts of a process those that it saves: one process does."""
        return parts[:1] if 0 in local_ranks else []


class Sharded:
    """Replica r of R holds the rows [n r / R, n (r + 1) / R) and no others.

    A step sends what is of the size of the batch, whatever n: images are gathered,
    every replica compares all of them with its rows, and partial sums are added up (Liu
    et al. 2021 spread their classifier like this).
    """

    is_whole = False

    def bounds(self, num_rows, rank, num_replicas):
        first, end = num_rows * rank, num_rows * (rank + 1)
        return first // num_replicas, end // num_replicas

    def all_gather(self, batch):
        return replicas.all_gather(batch)

    def all_reduce_sum(self, sums, batch):
        return replicas.local_slice(replicas.all_reduce_sum(sums), batch)

    def global_to_local(self, values, batch):
        return values

    def distinct(self, parts):
        return parts

    def saved_by(self, local_ranks, parts):
        return parts


PLACEMENTS: dict[str, Replicated | Sharded] = {
    "replicated": Replicated(),
    "sharded": Sharded(),
}


def choose_placement(
    name: str, num_instances: int, embedding_dim: int, *, row_dtype: str, strategy
) -> str:
    """The name of a placement, where `name` may be "auto" as well.

    auto: sharded where a copy of the bank would take more than a quarter of a device's
    memory. Raises UserError for an unknown name.
    """
    one_of("bank_placement", name, ("auto", *PLACEMENTS))
    if name != "auto":
        return name
    num_bytes = num_instances * embedding_dim * tf.as_dtype(row_dtype).size
    if strategy.num_replicas_in_sync > 1 and num_bytes > device_memory(strategy) / 4:
        return "sharded"
    return "replicated"


def device_memory(strategy) -> int:
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
