"""`npid doctor`: what this machine has, and what each missing part costs."""

import json
import os
import platform
import subprocess
import sys

from npid_tf.files.version import __version__

# (package to import, distribution, extra or None where it is needed, what it is for)
PACKAGES = [
    ("tensorflow", "tensorflow", None, "everything but the client"),
    ("keras", "keras", None, "everything but the client"),
    ("tensorflow_datasets", "tensorflow-datasets", None, "--dataset=tfds:NAME"),
    ("scann", "scann", None, "fast search; without it an index is searched exactly"),
    ("absl", "absl-py", None, "the programs"),
    ("tensorflow_addons", "tfa-nightly", "addons", "--jitter=yiq"),
    ("fastapi", "fastapi", "serving", "npid serve"),
    ("grpc", "grpcio", "serving", "gRPC"),
    (
        "tensorflow_serving",
        "tensorflow-serving-api",
        "serving",
        "gRPC and warm-up",
    ),
    ("pymilvus", "pymilvus", "milvus", "--engine=milvus"),
    ("keras_hub", "keras-hub", "transfer", "--protocol=detection and segmentation"),
]


# Imports each in a process of its own: some change logging or streams, and one that is
# broken may end it. The last line is what is told; before it they may print.
LOOK = """
import importlib, importlib.metadata, json, sys
found = {}
for module, distribution in json.loads(sys.argv[1]):
    try:
        importlib.import_module(module)
        found[module] = importlib.metadata.version(distribution), None
    except importlib.metadata.PackageNotFoundError:
        found[module] = "of unknown version", None
    except Exception as error:
        told = (str(error).splitlines() or [""])[0]
        found[module] = None, f"{type(error).__name__}: {told[:80]}"
gpus = []
if found["tensorflow"][1] is None:
    import tensorflow as tf
    for gpu in tf.config.list_physical_devices("GPU"):
        details = tf.config.experimental.get_device_details(gpu)
        gpus.append(details.get("device_name", gpu.name))
print(json.dumps([found, gpus]))
"""


def main(words=()):
    """Prints the report. Returns 1 where a needed package is missing, else 0."""
    if words:
        print(f"Error: Unexpected arguments: {' '.join(words)}.", file=sys.stderr)
        return 2
    print(f"npid_tf      {__version__}")
    print(f"Python       {platform.python_version()} ({sys.executable})")
    print(f"Machine      {platform.machine()}, {os.cpu_count()} cores, {_memory()}")
    found, gpus = look()
    is_whole = True
    for module, _, extra, use in PACKAGES:
        version, problem = found[module]
        if problem is None:
            print(f"{module:<24}{version}")
            continue
        is_whole = is_whole and extra is not None
        wanted = "npid_tf" if extra is None else f"npid_tf[{extra}]"
        print(f"{module:<24}missing ({problem}): no {use}. pip install '{wanted}'")
    for gpu in gpus:
        print(f"GPU          {gpu}")
    if not gpus:
        print("GPU          none: ImageNet's recipes would take weeks here")
    flags = _processor_flags()
    if flags & {"amx_bf16", "avx512_bf16"}:
        print("bfloat16     in hardware: --precision=mixed_bfloat16 may be faster")
    elif flags:
        print("bfloat16     not in hardware: measure before --precision=mixed_bfloat16")
    return 0 if is_whole else 1


def look():
    """({module: (version, None) or (None, what is wrong)}, names of the GPUs)."""
    names = [(module, distribution) for module, distribution, _, _ in PACKAGES]
    done = subprocess.run(
        [sys.executable, "-c", LOOK, json.dumps(names)],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        problem = f"the imports ended with status {done.returncode}: {last[:80]}"
        return {module: (None, problem) for module, _ in names}, []
    return json.loads(done.stdout.strip().splitlines()[-1])


def _processor_flags():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            lines = [line for line in file if line.startswith("flags")]
    except OSError:
        return set()
    return set(lines[0].split()) if lines else set()


def _memory():
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return f"{pages * size / 1e9:.0f} GB of memory"
