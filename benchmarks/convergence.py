"""How fast recipes learn CIFAR-10: kNN top-1 against epochs and against seconds.

    PYTHONPATH=. python benchmarks/convergence.py --data_dir=DIR

Trains each recipe with each seed, evaluates it, and writes convergence.csv, a plot and
a table. A run that is there already is not trained again; one that was cut off goes on.
What each part of the default gives, on a fifth of the images at half the size (leave
--small out for all of them, if you have days), and the instance classifier likewise:

    PYTHONPATH=. python benchmarks/convergence.py --small --group=ablation ...
    PYTHONPATH=. python benchmarks/convergence.py --small --group=classifier ...
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys

import measure
from npid_tf.training.metrics_file import read_metrics

AUTHORS = ["--flagfile=configs/cifar10.cfg", "--width=16", "--epochs=8"]
AUTHORS += ["--knn_epochs=1"]
DEFAULT = ["--flagfile=configs/cifar10_cpu.cfg"]
# Both take 8 epochs of ResNet-18 with 16 channels.
RECIPES = {"authors": AUTHORS, "default": DEFAULT}
# The default with one thing changed: the first are without something that it keeps, the
# others with something that it does not.
CHANGES = {
    "one_view": ["--views=1"],
    "four_views_half_the_epochs": ["--views=4", "--batch_size=64", "--epochs=4"],
    "npid_augmentation": ["--augmentation=npid_cifar"],
    "temperature_0.1": ["--temperature=0.1"],
    "sgd": ["--optimizer=sgd", "--learning_rate=0.06"],
    "no_batch_norm": ["--nohead_batch_norm"],
    "uniform_bank": ["--bank_init=uniform"],
    "nce": ["--loss=nce"],
    "sampled_softmax": ["--loss=sampled_softmax"],
    "float32": ["--precision=float32", "--bank_dtype=float32"],
    "blur": ["--augmentation=moco_v2"],
    "npid_flip": ["--augmentation=npid"],
    "temperature_0.04": ["--temperature=0.04"],
    "mlp_head": ["--head=mlp"],
    "bank_momentum_0.3": ["--bank_momentum=0.3"],
    "forward_centred": ["--bank_init=forward_centred"],
    "learning_rate_0.02": ["--learning_rate=0.02"],
    "warmup": ["--warmup_epochs=1"],
    "proximal": ["--proximal_weight=10"],
    "two_epochs": ["--epochs=2"],
}
RECIPES |= {name: [*DEFAULT, *flags] for name, flags in CHANGES.items()}
CLASSIFIER = ["--flagfile=configs/instance_classifier_cifar10_cpu.cfg"]
CLASSIFIERS = {
    "raw_features": ["--label_smoothing=0"],
    "raw_features_smoothed": [],
    "normal": ["--bank_init=normal", "--label_smoothing=0"],
    "normal_smoothed": ["--bank_init=normal"],
}
RECIPES |= {name: [*CLASSIFIER, *flags] for name, flags in CLASSIFIERS.items()}
GROUPS = {
    "recipes": ["authors", "default"],
    "ablation": ["default", *CHANGES],
    "classifier": ["default", *CLASSIFIERS],
}
SMALL = ["split=train[:10000]", "image_size=16"]
HEADER = ["recipe", "seeds", "kNN, refreshed", "kNN, bank by epoch", "linear probe"]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--group", choices=GROUPS, default="recipes")
    parser.add_argument("--recipes", nargs="+", help="instead of those of the group")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--directory", default="runs/convergence")
    parser.add_argument("--data_dir", help="TFDS data_dir with CIFAR-10")
    parser.add_argument(
        "--flag", nargs="*", default=[], help="of npid_tf.train, for all recipes"
    )
    parser.add_argument("--small", action="store_true", help=" ".join(SMALL))
    arguments = parser.parse_args(arguments)
    arguments.recipes = arguments.recipes or GROUPS[arguments.group]
    if arguments.small:
        arguments.directory = os.path.join(arguments.directory, "small")
        arguments.flag = [*SMALL, *arguments.flag]
    unknown = set(arguments.recipes) - set(RECIPES)
    if unknown:
        parser.error(f"Unknown recipe {unknown}. Known: {', '.join(RECIPES)}.")
    runs = {
        (recipe, seed): run_recipe(recipe, seed, arguments)
        for recipe in arguments.recipes
        for seed in arguments.seeds
    }
    write_csv(os.path.join(arguments.directory, "convergence.csv"), runs)
    plot(os.path.join(arguments.directory, "convergence.png"), runs)
    print(f"{measure.machine()}\n")
    measure.print_table(HEADER, [row(recipe, runs) for recipe in arguments.recipes])


def run_recipe(recipe, seed, arguments):
    """Trains and evaluates. Returns the lines of metrics.jsonl and the accuracies."""
    workdir = os.path.join(arguments.directory, f"{recipe}_{seed}")
    flags = [*RECIPES[recipe], f"--workdir={workdir}", f"--seed={seed}"]
    if arguments.data_dir:
        flags.append(f"--data_dir={arguments.data_dir}")
    call("train", *flags, *(f"--{flag}" for flag in arguments.flag))
    protocols = ["knn"]
    if recipe in GROUPS["recipes"]:
        protocols.append("linear_cached")  # It takes minutes.
    accuracies = {}
    for protocol in protocols:
        path = os.path.join(workdir, "evaluation", f"{protocol}.json")
        if not os.path.exists(path):
            call(
                "evaluate", f"--flagfile={workdir}/flags.cfg", f"--protocol={protocol}"
            )
        with open(path, encoding="utf-8") as file:
            accuracies[protocol] = json.load(file)["rows"]
    return read_metrics(os.path.join(workdir, "metrics.jsonl")), accuracies


def call(program, *flags):
    """Runs a program of the package, which prints as it goes."""
    command = [sys.executable, "-m", f"npid_tf.{program}", *flags]
    subprocess.run(command, check=True, stdout=sys.stderr)


def row(recipe, runs):
    """A recipe's line of the table: means over the seeds, with their spread."""
    mine = [run for (name, _), run in runs.items() if name == recipe]
    knn = [
        found["top1"]
        for _, run in mine
        for found in run["knn"]
        if (found["feature"], found["k"]) == ("refreshed embeddings", 200)
    ]
    probe = [
        found["top1"]
        for _, run in mine
        for found in run.get("linear_cached", [])
        if (found["encoder"], found["layer"]) == ("trained", "features")
    ]
    epochs = zip(
        *([line["knn_top1"] for line in lines] for lines, _ in mine), strict=True
    )
    bank = " ".join(f"{statistics.mean(values):.3f}" for values in epochs)
    return [recipe, len(mine), spread(knn), bank, spread(probe)]


def spread(values):
    text = f"{statistics.mean(values):.4f}" if values else ""
    if len(values) > 1:
        text += f" +- {statistics.stdev(values):.4f}"
    return text


def points(lines):
    """(epoch, seconds of training so far, kNN top-1 on the bank) of every epoch."""
    seconds = 0.0
    for line in lines:
        seconds += line["seconds"]
        yield line["epoch"], seconds, line["knn_top1"]


def write_csv(path, runs):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["recipe", "seed", "epoch", "seconds", "bank_knn_top1"])
        for (recipe, seed), (lines, _) in runs.items():
            writer.writerows([recipe, seed, *point] for point in points(lines))


def plot(path, runs):
    """kNN top-1 on the bank against epochs, and against seconds of training."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), sharey=True)
    colors = {}
    for (recipe, _), (lines, _) in runs.items():
        # One line of the legend for all seeds of a recipe.
        label = None if recipe in colors else recipe
        color = colors.setdefault(recipe, f"C{len(colors)}")
        epochs, seconds, top1 = zip(*points(lines), strict=True)
        for axis, x in zip(axes, (epochs, seconds), strict=True):
            axis.plot(x, top1, marker=".", color=color, label=label)
    axes[0].set(xlabel="epochs", ylabel="kNN top-1 on the bank, k = 200")
    axes[1].set(xlabel="seconds of training")
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
