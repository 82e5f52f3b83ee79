"""The recipe that follows the data: what it takes, and that it fits any data."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

import npid_tf
from npid_tf.command_line.given import parse
from npid_tf.command_line.recipes import RecipeFlags, parse_with_recipe
from npid_tf.data.sources.arrays import from_arrays
from npid_tf.runs.auto import choose, follow_data
from npid_tf.runs.train_flags import TrainFlags
from npid_tf.train import flags_of

FIELDS = [*dataclasses.fields(RecipeFlags), *dataclasses.fields(TrainFlags)]


@pytest.mark.parametrize("on_gpu", [False, True])
@pytest.mark.parametrize("side", [8, 28, 32, 100, 480, 4000])
@pytest.mark.parametrize("n", [2, 3, 30, 300, 5_000, 50_000, 10**6, 10**7])
def test_every_choice_fits_the_data_and_its_own_flags(n, side, on_gpu):
    chosen = {name: value for name, (value, _) in choose(n, side, on_gpu).items()}
    config = TrainFlags.of(chosen)
    config.refuse_ignored()
    assert config.batch_size <= max(n // 8, 4) and max(config.k) <= n
    assert config.batch_size <= n
    assert config.image_size <= max(side, 12)
    assert config.epochs >= 3


def test_more_images_take_fewer_epochs_and_a_sharper_softmax():
    few, many = (
        {name: value for name, (value, _) in choose(n, 480, False).items()}
        for n in (300, 300_000)
    )
    assert few["epochs"] > many["epochs"]
    assert few["temperature"] > many["temperature"]
    assert few["batch_size"] < many["batch_size"]
    # Comparing with all rows would outweigh the encoder.
    assert choose(3_000_000, 480, False)["loss"][0] == "nce"
    assert choose(3_000_000, 480, True)["loss"][0] == "nonparametric_softmax"


def test_what_is_given_stays_and_what_hangs_on_it_follows(capsys):
    images = np.zeros([40, 100, 120, 3], np.uint8)
    source = from_arrays(images, None, name="zeros")
    config = follow_data(TrainFlags(epochs=2, width=8), {"epochs", "width"}, source)
    assert (config.epochs, config.width) == (2, 8)
    assert (config.image_size, config.backbone) == (96, "resnet18_cifar")
    out = capsys.readouterr().out
    assert "40 images of about 100 pixels" in out
    assert "--batch_size=4 " in out and "--epochs" not in out
    given = TrainFlags(backbone="resnet50", loss="nce")
    config = follow_data(given, {"backbone", "loss"}, source)
    assert (config.backbone, config.width, config.loss) == ("resnet50", 64, "nce")


def test_thirty_photos_train_and_go_on_with_what_was_chosen(tmp_path, capsys):
    random = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(30):
        photo = random.integers(0, 256, [24, 20 + number % 3, 3], np.uint8)
        Image.fromarray(photo).save(tmp_path / "photos" / f"{number}.png")
    run = npid_tf.Run(tmp_path / "run")
    cheap = {"epochs": 1, "width": 4, "augmentation": "none", "bank_init": "normal"}
    run.train(data=str(tmp_path / "photos"), **cheap)
    assert (run.config.image_size, run.config.batch_size) == (20, 4)
    assert run.config.k == (10,)
    words = [run.workdir, f"--data={tmp_path / 'photos'}", "--epochs=2"]
    given = parse_with_recipe(words, FIELDS, aliases={"data": "dataset"})
    assert given.values["recipe"] == "auto"
    config, stay = flags_of(given)
    assert stay is None  # The run has its own.
    assert config == dataclasses.replace(run.config, epochs=2)
    # A file of flags stands for itself.
    assert flags_of(parse(["x", "--epochs=3"], FIELDS))[1] is None
