"""Names of collections in Milvus, and which of them a killed export left behind.

An encoder's collections are named after its alias and the process that makes them. The
alias points to the one in use; a running export has another. The rest are leftovers.
"""

import hashlib
import os
import re
import time
import uuid
import warnings

# For collections of other machines: whether their export still runs is unknown.
LEFT_AFTER_SECONDS = 24 * 3600
_being_written = set()  # Names, by this process.


def alias_of(encoder_hash):
    return f"npid_{encoder_hash[:16]}"


def new_name(alias):
    """A name that contains the process which makes the collection."""
    pid = os.getpid()
    name = f"{alias}_{_machine()}_{pid}_{_started(pid)}_{uuid.uuid4().hex[:8]}"
    _being_written.add(name)
    return name


def done_with(name):
    """Says that this process writes the collection no longer."""
    _being_written.discard(name)


def drop_left_over(client, alias, lite):
    """Drops the collections of an encoder that exports left which were killed.

    Never the one in use, nor any that an export still writes: one of this machine runs
    as long as its process; of another's it is believed for a day, and warned of. A
    Milvus Lite has but one process at a time.
    """
    in_use = name_of(client, alias)
    kept = []
    for name in client.list_collections():
        if not name.startswith(f"{alias}_") or name in (in_use, *_being_written):
            continue
        owner = re.fullmatch(r"_([0-9a-f]{8})_(\d+)_(\d+)_\w+", name[len(alias) :])
        if owner is not None and owner[1] == _machine():
            pid, started = int(owner[2]), int(owner[3])
            runs = pid != os.getpid() and _started(pid) == started != 0
        else:
            runs = not lite and _age(client, name) < LEFT_AFTER_SECONDS
            kept += [name] * runs
        if not runs:
            client.drop_collection(name)
    if kept:
        warnings.warn(
            "An export on another machine writes, or left when it was killed: "
            f"{', '.join(kept)}. An export drops them when they are a day old.",
            stacklevel=3,
        )


def name_of(client, alias, **how):
    """The name of the collection that an alias names, or None."""
    if not client.has_collection(alias, **how):
        return None
    return client.describe_collection(alias, **how)["collection_name"]


def turn_alias(client, alias, name):
    """Points the alias to that collection, in one step."""
    from pymilvus import MilvusException

    try:
        client.alter_alias(name, alias)
    except MilvusException:  # There is none yet.
        try:
            client.create_alias(name, alias)
        except MilvusException:  # Another export has just made it.
            client.alter_alias(name, alias)


def _age(client, name):
    created = client.describe_collection(name).get("created_timestamp", 0)
    return time.time() - (created >> 18) / 1000  # Milliseconds, above a counter.


def _machine():
    """Names the machine, its start, and the space of process numbers: 8 digits."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            place = file.read() + os.readlink("/proc/self/ns/pid")
    except OSError:  # No Linux: each process is as of a machine of its own.
        place = str(os.getpid())
    return hashlib.sha256(place.encode()).hexdigest()[:8]


def _started(pid):
    """Start time of a process, in the kernel's ticks; 0 if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            # The name of its program, in brackets, may hold spaces and brackets.
            return int(file.read().rpartition(")")[2].split()[19])
    except OSError:
        return 0
