"""A folder that changes: is what is learned as if it had been so from the start?

    python benchmarks/growth.py --seeds 0 1 2

draws photos of eight patterns as folders have them (JPEG on its side, PNG with
transparency, WebP, GIF and BMP, of many sizes). A run learns 300 of them; then 40
come, 10 go and 20 get other names, and it learns on. Another run has the folder as it
is then from its start, and the same number of epochs. Both are judged by new photos.
"""

import argparse
import concurrent.futures
import contextlib
import io
import itertools
import multiprocessing
import pathlib
import tempfile

import numpy as np
import PIL.Image
import PIL.ImageOps

import measure
from npid_tf.run import Run
from npid_tf.runs.search import search

PATTERNS = ("disc", "ring", "bars", "rows", "checks", "slope", "cross", "dots")
SIDE = 48  # of the pattern, before it gets another size
FLAGS = {
    "recipe": "photos",
    "image_size": 32,
    "crop_fraction": 1.0,
    "augmentation": "moco_v2_cifar",
    "backbone": "resnet18_cifar",
    "width": 8,
    "batch_size": 32,
    "temperature": 0.2,
    "k": (10,),
}


def draw(pattern, rng):
    """A photo of a pattern in random colours: uint8 [SIDE, SIDE, 3]."""
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    x, y = x - rng.uniform(-0.3, 0.3), y - rng.uniform(-0.3, 0.3)
    size, period = rng.uniform(0.4, 0.7), rng.uniform(6, 11)
    radius = np.hypot(x, y)
    mask = {
        "disc": radius < size,
        "ring": abs(radius - size) < 0.15,
        "bars": np.sin(period * x) > 0,
        "rows": np.sin(period * y) > 0,
        "checks": np.sin(period * x) * np.sin(period * y) > 0,
        "slope": np.clip(0.5 + x / 2 + y / 2, 0, 1),
        "cross": (abs(x) < size / 4) | (abs(y) < size / 4),
        "dots": np.hypot(np.sin(period * x / 2), np.sin(period * y / 2)) < 0.5,
    }[pattern]
    first, second = rng.uniform(0, 255, [2, 3])
    image = first + (second - first) * np.asarray(mask, float)[..., None]
    return np.clip(image + rng.normal(0, 20, image.shape), 0, 255).astype(np.uint8)


def write(folder, number, seed):
    """Photo `number` of a folder, in its pattern's sub-folder; returns its path."""
    rng = np.random.default_rng([seed, number])
    pattern = PATTERNS[number % len(PATTERNS)]
    width, height = rng.integers(40, 160, 2).tolist()
    image = PIL.Image.fromarray(draw(pattern, rng)).resize((width, height))
    kind = ("jpg", "jpg", "png", "webp", "gif", "bmp")[rng.integers(6)]
    path = folder / pattern / f"IMG {number:04}.{kind}"
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "png":  # What is transparent shows white, whatever colour it has.
        image.putalpha(int(rng.integers(160, 256)))
    if kind == "jpg":  # As it lies in a camera, and how it was held.
        exif = PIL.Image.Exif()
        exif[0x0112] = 6
        image.rotate(90, expand=True).save(path, quality=90, exif=exif)
        shown = PIL.ImageOps.exif_transpose(PIL.Image.open(path))
        assert shown.size == (width, height)
    else:
        image.save(path)
    return path


def change(folder, seed):
    """40 photos come, 10 go and 20 get other names."""
    rng = np.random.default_rng(seed)
    paths = rng.permutation(sorted(p for p in folder.rglob("*") if p.is_file()))
    for path in paths[:10]:
        path.unlink()
    for number, path in enumerate(paths[10:30]):
        path.rename(path.with_name(f"renamed {number}{path.suffix}"))
    for number in range(300, 340):
        write(folder, number, seed)


def judged(run, judge):
    """{measure: value} of a run."""
    with contextlib.redirect_stdout(io.StringIO()):
        knn = run.evaluate("knn", eval_dataset=f"folder:{judge}", k=(10,))
        found = run.evaluate("retrieval", eval_dataset=f"folder:{judge}")
    features = ("bank as trained", "refreshed embeddings")
    rows = {}
    for feature in features:
        (top1,) = (r["top1"] for r in knn if (r["feature"], r["k"]) == (feature, 10))
        rows[f"kNN top-1, {feature}"] = top1
        rows[f"same image, recall@1, {feature}"] = next(
            r["recall@1"] for r in found
            if (r["task"], r["feature"]) == ("same image", feature)
        )  # fmt: skip
    return rows


def between(run, place):
    """What the other programs make of a run whose folder has changed."""
    export = str(place / "export")
    count = run.export(export, k=(10,))["n"]
    one = str(next((place / "photos").rglob("renamed*")))
    ((first, *_),), _ = search(export, [one], 3)
    assert (count, first["id"]) == (330, one), (count, first)
    assert len(run.embed()["ids"]) == 330


def study(seed, epochs):
    """{measure: (of the run that grew, of the other)}."""
    with tempfile.TemporaryDirectory() as directory:
        place = pathlib.Path(directory)
        photos, judge = place / "photos", place / "judge"
        for number in range(300):
            write(photos, number, seed)
        for number in range(240):
            write(judge, 10_000 + number, seed)
        flags = {**FLAGS, "data": f"folder:{photos}", "seed": seed}
        grown, other = Run(place / "grown"), Run(place / "other")
        grown.train(**flags, epochs=epochs // 2)
        change(photos, seed)
        between(grown, place)
        before = judged(grown, judge)
        told = io.StringIO()
        with contextlib.redirect_stdout(told):
            grown.train(**flags, epochs=epochs)
        since = next(s for s in told.getvalue().splitlines() if s.startswith("Since"))
        print(f"seed {seed}: {since}", flush=True)
        other.train(**flags, epochs=epochs)
        return [judged(each, judge) for each in (grown, other)] + [before]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=24)
    arguments = parser.parse_args()
    each = len(arguments.seeds), multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(*each) as pool:
        results = list(
            pool.map(study, arguments.seeds, itertools.repeat(arguments.epochs))
        )
    print(f"\n{measure.machine()}\n\n{arguments.epochs} epochs, mean of seeds "
          f"{arguments.seeds} (their standard deviation)\n")  # fmt: skip
    print("| measure | before it learned on | grown | from the start | difference |")
    print("| --- | --- | --- | --- | --- |")
    for name in results[0][0]:
        grown, other, before = np.array([[r[name] for r in row] for row in results]).T
        columns = [
            f"{values.mean():.3f} ({values.std():.3f})"
            for values in (before, grown, other, grown - other)
        ]
        print(f"| {name} | {' | '.join(columns)} |")


if __name__ == "__main__":
    main()
