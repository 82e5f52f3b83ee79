"""Values that no flag may have."""

import dataclasses
import math

import pytest
from npid_tf.runs.config import RANGES, Config

from npid_tf.errors import UserError

NUMBERS = {int, float, int | None, float | None, tuple[int, ...], tuple[float, ...]}
NUMERIC = [f.name for f in dataclasses.fields(Config) if f.type in NUMBERS]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("epochs", 0, "`epochs` must be at least 1. Received: 0"),
        ("num_negatives", 0, "`num_negatives` must be at least 1"),
        ("k", (5, 0), "`k` must be at least 1"),
        ("k", (), "`k` must be at least 1"),
        ("shots", (), "`shots` must be at least 1"),
        ("probe_batch_size", 0, "`probe_batch_size` must be at least 1"),
        ("probe_epochs", 0, "`probe_epochs` must be at least 1"),
        ("fine_tune_rates", (0.1, 0.0), "`fine_tune_rates` must be positive"),
        ("layers", (), "`layers` must name one layer at least"),
        ("knn_temperature", 0, "`knn_temperature` must be positive"),
        ("recall", 0, r"`recall` must be in \(0, 1\]. Received: 0"),
        ("max_images", 1, "`max_images` must be at least 2. Received: 1"),
        ("duplicate_similarity", 0, r"`duplicate_similarity` must be in \(0, 1\]"),
        ("crop_fraction", 1.5, r"`crop_fraction` must be in \(0, 1\]"),
    ],
)
def test_values_out_of_range_are_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TrainFlags(), **{field: value})


def test_every_number_has_a_range():
    assert sorted(RANGES) == sorted(NUMERIC)


@pytest.mark.parametrize("value", [-1, math.nan, math.inf])
@pytest.mark.parametrize("name", NUMERIC)
def test_no_number_is_negative_or_not_finite(name, value):
    value = (value,) if isinstance(getattr(TrainFlags(), name), tuple) else value
    with pytest.raises(UserError, match=f"`{name}` must be"):
        dataclasses.replace(TrainFlags(), **{name: value})


def test_a_workdir_has_a_name_and_a_bank_a_known_dtype():
    with pytest.raises(UserError, match="`workdir` must name a folder"):
        TrainFlags(workdir="")
    with pytest.raises(UserError, match="Known: float32, bfloat16"):
        TrainFlags(bank_dtype="typo")


def test_every_path_may_start_at_home(monkeypatch, parse):
    monkeypatch.setenv("HOME", "/home/me")
    flags = {
        "workdir": "~/run",
        "dataset": "folder:~/photos",
        "eval_dataset": "npz:~/test.npz",
        "labelled_dataset": "folder:~",
        "data_dir": "~/tfds",
        "export_dir": "~/export",
        "image": "~/a~.jpg",
        "gallery": "~/g.html",
        "voc_dir": "~/voc",
        "input": "~/in.pth",
        "output": "~/out.npz",
        "uri": "~/milvus.db",
    }
    config = parse(*(f"--{name}={value}" for name, value in flags.items()))
    for name, value in flags.items():
        received = getattr(config, name)
        received = received[0] if isinstance(received, tuple) else received
        assert received == value.replace("~", "/home/me", 1)
    kept = {"uri": "http://host/~me", "dataset": "tfds:a", "workdir": "a/~b"}
    config = TrainFlags(**kept)
    assert {name: getattr(config, name) for name in kept} == kept
