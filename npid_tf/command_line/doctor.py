"""`npid doctor`: what this machine has, and what each missing part costs."""

import importlib
import importlib.metadata
import os
import platform
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


def main(words=()):
    """Prints the report. Returns 1 where a needed package is missing, else 0."""
    if words:
        print(f"Error: Unexpected arguments: {' '.join(words)}.", file=sys.stderr)
        return 2
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    print(f"npid_tf      {__version__}")
    print(f"Python       {platform.python_version()} ({sys.executable})")
    print(f"Machine      {platform.machine()}, {os.cpu_count()} cores, {_memory()}")
    is_whole = True
    for module, distribution, extra, use in PACKAGES:
        version, problem = look_for(module, distribution)
        if problem is None:
            print(f"{module:<24}{version}")
            continue
        is_whole = is_whole and extra is not None
        wanted = "npid_tf" if extra is None else f"npid_tf[{extra}]"
        print(f"{module:<24}missing ({problem}): no {use}. pip install '{wanted}'")
    for line in _devices():
        print(line)
    return 0 if is_whole else 1


def look_for(module, distribution):
    """(version, None), or (None, what is wrong) of a package that does not import."""
    try:
        importlib.import_module(module)
        return importlib.metadata.version(distribution), None
    except importlib.metadata.PackageNotFoundError:
        return "(of unknown version)", None
    except Exception as error:  # Whatever its import raises is what is wrong with it.
        return None, f"{type(error).__name__}: {str(error).splitlines()[0][:80]}"


def _devices():
    try:
        import tensorflow as tf
    except ImportError:
        return
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        yield f"GPU          {tf.config.experimental.get_device_details(gpu)}"
    if not gpus:
        yield "GPU          none: ImageNet's recipes would take weeks here"
    flags = _processor_flags()
    if flags & {"amx_bf16", "avx512_bf16"}:
        yield "bfloat16     in hardware: --precision=mixed_bfloat16 is faster"
    elif flags:
        yield "bfloat16     emulated: --precision=float32 is faster on this processor"


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
