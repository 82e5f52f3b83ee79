"""Saves checkpoints in processes that end at a given operation on files.

Usage: python checkpoint_writer.py KIND. Reads lines "FOLDER STEP NUMBER LOG BYTES":
forks a process that fills a model with STEP's numbers and saves it in FOLDER, and
SIGKILLs itself at operation NUMBER (0: never), or where a file gets more than BYTES
bytes (0: any), which ends TensorFlow's own writing as well. Answers each line with the
number of operations, or "killed".
"""

import os
import resource
import signal
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from npid_tf.checkpoints.checkpoints import Checkpoints
from tests.support.kill_points import die_at
from tests.support.saved_models import FINGERPRINT, build, fill


def make_model(kind):
    cpu = tf.config.list_physical_devices("CPU")[0]
    devices = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, devices)
    return build(kind)


def save(model, folder, step, number, log, num_bytes):
    fill(model, step)
    checkpoints = Checkpoints(folder, model, FINGERPRINT)
    if num_bytes:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))
    told = die_at(number, log)
    checkpoints.save(step, 0)
    sys.setprofile(None)
    return told()


def main(kind):
    model = make_model(kind)
    for line in sys.stdin:
        folder, step, number, log, num_bytes = line.split()
        readable, writable = os.pipe()
        # Operations on so little run in the thread that asks for them, and TensorFlow's
        # other threads, which a fork does not have, have nothing to do.
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            count = save(model, folder, int(step), int(number), log, int(num_bytes))
            os.write(writable, str(count).encode())
            os._exit(0)
        os.close(writable)
        answer = os.read(readable, 100).decode()
        os.close(readable)
        _, status = os.waitpid(child, 0)
        is_killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGALRM
        print("killed" if is_killed else answer or f"failed {status}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
