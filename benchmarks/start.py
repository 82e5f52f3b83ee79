"""Seconds from the start of `npid train` to its first step, on a folder of many files.

    python benchmarks/start.py [--images=200000] [--folder=DIR, where they are kept]

A folder of small JPEGs is made, 100 in each of its sub-folders. A process then starts a
run in it and ends after the first step; and again, in the same workdir, when the files
are known. The columns are where the time goes: until the package and TensorFlow are
imported, until the files are listed and looked at, until the model is built, until the
first step is done; and the most memory that the process had. In brackets are the
seconds that cores worked, which other programs beside it do not change much. The
encoder is narrow, so that the step itself is short: what is left is TensorFlow's
tracing of it. The files come from the memory of the system, not from its disk.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import PIL.Image

SIDE, DISTINCT, IN_A_FOLDER = 32, 500, 100
STAGES = ("imported", "looked at", "built", "first step")
HEADER = ("start", *STAGES, "all", "memory, MB")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--folder", help="where the files are, or go; None: for now")
    parser.add_argument("--bank_init", default="uniform")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        folder = options.folder or os.path.join(directory, "photos")
        if not os.path.isdir(folder):
            write_images(folder, options.images)
        flags = {
            "workdir": os.path.join(directory, "run"),
            "dataset": folder,
            "bank_init": options.bank_init,
            "batch_size": min(options.images, 64),
            "schedule": "cosine",
            "width": 8,
        }
        rows = [(name, *start(flags)) for name in ("first", "second")]
    import measure

    print(f"{measure.machine()}; {options.images:,} JPEGs of {SIDE}x{SIDE}\n")
    measure.print_table(HEADER, rows)
    return rows


def write_images(folder, count):
    """Writes so many JPEGs, no two of the same bytes: a comment in each is its number.

    Their pixels repeat after DISTINCT images.
    """
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (DISTINCT, 6, 6, 3), np.uint8)
    pictures = []
    for each in noise:
        file = io.BytesIO()
        image = PIL.Image.fromarray(each).resize((SIDE, SIDE), PIL.Image.BICUBIC)
        image.save(file, "JPEG")
        pictures.append(file.getvalue())
    for number in range(count):
        below = os.path.join(folder, f"{number // IN_A_FOLDER:05}")
        if number % IN_A_FOLDER == 0:
            os.makedirs(below)
        picture = pictures[number % DISTINCT]
        comment = b"\xff\xfe" + (10).to_bytes(2) + number.to_bytes(8)
        with open(os.path.join(below, f"{number:07}.jpg"), "wb") as file:
            file.write(picture[:2] + comment + picture[2:])


def start(flags):
    """The columns of a process that trains for a step: seconds, and MB."""
    began = time.time()
    process = subprocess.run(
        [sys.executable, __file__, "--child", json.dumps(flags)],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    told = json.loads(process.stdout.splitlines()[-1])
    walls = np.diff([began, *(told[stage][0] for stage in STAGES)])
    cores = np.diff([0, *(told[stage][1] for stage in STAGES)])
    told_of = [f"{wall:.1f} ({of_cores:.1f})" for wall, of_cores in (
        *zip(walls, cores, strict=True), (walls.sum(), cores.sum()))]  # fmt: skip
    return (*told_of, f"{told['memory']:,}")


def child(flags):
    """Trains until the first step is done, and prints when each stage was."""
    import resource

    import keras

    from npid_tf.command_line.progress import show_progress
    from npid_tf.npid import NPID
    from npid_tf.runs import data, train
    from npid_tf.runs.train_flags import TrainFlags

    def now():
        return time.time(), time.process_time()

    told = {"imported": now()}
    load, fit = data.load, NPID.fit

    def timed_load(*arguments, **more):
        source = load(*arguments, **more)
        told["looked at"] = now()
        return source

    def timed_fit(model, *arguments, callbacks, **more):
        told["built"] = now()
        first_step = keras.callbacks.LambdaCallback(on_train_batch_end=end)
        return fit(model, *arguments, callbacks=[*callbacks, first_step], **more)

    def end(batch, logs):
        usage = resource.getrusage(resource.RUSAGE_SELF)
        told["first step"] = now()
        told["memory"] = usage.ru_maxrss // 1000
        print("\n" + json.dumps(told), flush=True)
        os._exit(0)  # As a run that was killed: nothing of training is saved.

    data.load, NPID.fit = timed_load, timed_fit
    show_progress()
    train.train(TrainFlags(**flags))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(json.loads(sys.argv[2]))
    else:
        main()
