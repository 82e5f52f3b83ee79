"""Recipes by name, and which one a new run begins with."""

import dataclasses

import pytest

from npid_tf.command_line.recipes import (
    RecipeFlags,
    names,
    parse_with_recipe,
    path_of,
)
from npid_tf.errors import UserError
from npid_tf.runs.train_flags import TrainFlags

FIELDS = [*dataclasses.fields(RecipeFlags), *dataclasses.fields(TrainFlags)]


def flags(*words):
    aliases = {"data": "dataset"}
    return parse_with_recipe(words, FIELDS, aliases=aliases).flags(TrainFlags)


def test_recipes_are_found_by_name():
    assert {"photos", "digits", "imagenet", "cifar10_cpu"} <= set(names())
    assert path_of("photos").endswith("photos.cfg")
    with pytest.raises(UserError, match=r"Unknown recipe 'typo'. Known: .*photos"):
        flags("--recipe=typo")


def test_what_is_given_comes_before_the_recipe(capsys):
    found = flags("--epochs=3", "--recipe=photos")
    assert (found.epochs, found.backbone, found.image_size) == (3, "resnet18", 96)
    assert "Recipe: photos" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "size"),
    [
        (["runs/digits"], 12),  # The recipe of that name.
        (["holiday", "--data=PHOTOS", "--recipe=photos"], 96),
        (["holiday"], 32),  # None: the flags' own defaults.
        (["holiday", "--data=PHOTOS", "--image_size=48"], 48),
    ],
)
def test_without_a_recipe_the_name_of_the_run_chooses(words, size):
    assert flags(*words).image_size == size


@pytest.mark.parametrize("words", [["holiday", "--data=PHOTOS"], ["--recipe=auto"]])
def test_data_without_a_recipe_choose_it_themselves(words):
    found = parse_with_recipe(words, FIELDS, aliases={"data": "dataset"})
    assert found.values["recipe"] == "auto"


def test_a_file_of_flags_is_no_recipe(tmp_path):
    (tmp_path / "a.cfg").write_text("--epochs=4\n")
    found = flags("digits", f"--flagfile={tmp_path}/a.cfg")
    assert (found.epochs, found.image_size) == (4, 32)
