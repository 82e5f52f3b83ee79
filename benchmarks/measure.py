"""What the benchmarks share: times, memory, the machine's floor, and the table."""

import concurrent.futures
import ctypes
import datetime
import gc
import os
import platform
import statistics
import sys
import time

import numpy as np
import tensorflow as tf

NOT_INSTALLED = "not installed: pip install '.[benchmarks]'"


def median_seconds(function, repeats=5):
    """The median time of a call, after one that does not count."""
    return interleaved_medians({"": function}, repeats)[""]


def interleaved_medians(functions, repeats=5):
    """The median seconds of a call of each, {name: function} -> {name: seconds}.

    They take turns, so that what else the machine does hits them all alike. A function
    must return when its work is done: `.numpy()` where TensorFlow might lag behind.
    """
    times = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def peak_memory(function):
    """The most bytes a call has in use at once beyond those in use before it.

    The larger of two readings: the growth of the resident set, and TensorFlow's own
    count, since its allocator keeps what it once took and then serves calls without
    growing. Linux only. Call the function once before, or tracing counts as well.
    """
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # Forget the peak so far.
    resident = _status("VmRSS")
    allocated = _tensorflow_memory()["current"]
    if allocated is not None:
        tf.config.experimental.reset_memory_stats("CPU:0")
    function()
    growth = _status("VmHWM") - resident
    if allocated is None:
        return growth
    return max(growth, _tensorflow_memory()["peak"] - allocated)


def _status(field):
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}.")


def _tensorflow_memory():
    try:
        return tf.config.experimental.get_memory_info("CPU:0")
    except ValueError:  # Without oneDNN it returns memory to the system at once.
        return {"current": None}


def gemm_rate(repeats=5):
    """Float32 operations a second of a large matrix product (2 per multiply-add)."""
    size = 4096
    matrix = tf.random.stateless_normal([size, size], [0, 0])
    product = tf.function(lambda: tf.matmul(matrix, matrix)[0, 0])
    return 2 * size**3 / median_seconds(lambda: product().numpy(), repeats)


def memory_bandwidth(repeats=5):
    """Bytes a second of a copy by all cores, those read and those written."""
    cores = os.cpu_count()
    source = np.ones([cores, 64 << 20], np.float32)  # 256 MB a core: beyond caches
    target = np.empty_like(source)
    with concurrent.futures.ThreadPoolExecutor(cores) as pool:

        def copy():
            list(pool.map(np.copyto, target, source))

        return 2 * source.nbytes / median_seconds(copy, repeats)


def machine():
    """One line: processor, cores, versions, date."""
    name = platform.processor()
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
    versions = [f"Python {platform.python_version()}", f"TensorFlow {tf.__version__}"]
    if "torch" in sys.modules:
        versions.append(f"PyTorch {sys.modules['torch'].__version__}")
    return (
        f"{name}, {os.cpu_count()} cores; {', '.join(versions)}; "
        f"{datetime.date.today().isoformat()}"
    )


def print_table(header, rows):
    """Markdown: `header` names the columns, each row has a value for every one."""
    print("| " + " | ".join(header) + " |")
    print("|" + " --- |" * len(header))
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"{len(row)} values for {len(header)} columns: {row}.")
        print("| " + " | ".join(str(value) for value in row) + " |")
