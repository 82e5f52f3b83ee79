"""What TensorFlow writes to standard error by itself, where it says nothing."""

import glob
import os
import sys
import tempfile

GPUS = ("/dev/nvidia*", "/dev/dxg")  # Files of the driver; the second is Windows's.
NO_GPU = b"failed call to cuInit"


def look_for_devices():
    """Has TensorFlow look for devices now, and drops its one line of error about CUDA
    where the machine has no GPU: it is no error there.

    The line has the level of errors, and with the flag that would hide it all other
    errors would be hidden too. Does nothing where TensorFlow is not loaded.
    """
    if "tensorflow" not in sys.modules or any(map(glob.glob, GPUS)):
        return
    with tempfile.TemporaryFile() as file:
        # TensorFlow writes to the descriptor, not to `sys.stderr`.
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            sys.modules["tensorflow"].config.list_physical_devices()
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            file.seek(0)
            for line in file:
                if NO_GPU not in line:
                    os.write(2, line)
