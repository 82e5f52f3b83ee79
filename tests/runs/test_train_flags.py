"""The flags of all programs: their ranges, and which are read with which."""

import dataclasses
import importlib
import math
import pathlib

import pytest

from npid_tf.command_line.fields import kind_of
from npid_tf.command_line.given import parse
from npid_tf.command_line.programs import PROGRAMS
from npid_tf.errors import UserError
from npid_tf.protocols import PROTOCOLS
from npid_tf.protocols.curation import CurationFlags
from npid_tf.protocols.diagnostics.measure import DiagnosticsFlags
from npid_tf.protocols.fine_tune import FineTuneFlags
from npid_tf.protocols.labelled import LayerFlags
from npid_tf.protocols.low_shot import LowShotFlags
from npid_tf.runs.export import ExportFlags
from npid_tf.runs.train_flags import TrainFlags, groups

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def all_kinds():
    """The dataclasses of flags of all programs and protocols."""
    for _, places in PROGRAMS.values():
        for place in places:
            module, name = place.split(":")
            yield getattr(importlib.import_module(module), name)
    yield from dict.fromkeys(protocol.flags for protocol in PROTOCOLS.values())


KINDS = list(all_kinds())
NUMERIC = [
    (kind, field)
    for kind in KINDS
    for field in dataclasses.fields(kind)
    if kind_of(field)[0] in (int, float)
]


@pytest.mark.parametrize(
    ("kind", "field", "value", "message"),
    [
        (TrainFlags, "epochs", 0, "`epochs` must be at least 1. Received: 0"),
        (TrainFlags, "num_negatives", 0, "`num_negatives` must be at least 1"),
        (TrainFlags, "k", (5, 0), "`k` must be at least 1"),
        (TrainFlags, "k", (), "`k` must be at least 1"),
        (LowShotFlags, "shots", (), "`shots` must be at least 1"),
        (FineTuneFlags, "probe_batch_size", 0, "`probe_batch_size` must be at least 1"),
        (FineTuneFlags, "probe_epochs", 0, "`probe_epochs` must be at least 1"),
        (
            FineTuneFlags,
            "fine_tune_rates",
            (0.1, 0.0),
            "`fine_tune_rates` must be positive",
        ),
        (LayerFlags, "layers", (), "`layers` must be one at least"),
        (TrainFlags, "knn_temperature", 0, "`knn_temperature` must be positive"),
        (ExportFlags, "recall", 0, r"`recall` must be in \(0, 1\]. Received: 0"),
        (CurationFlags, "neighbors", 0, "`neighbors` must be at least 1"),
        (
            DiagnosticsFlags,
            "duplicate_similarity",
            0,
            r"`duplicate_similarity` must be in \(0, 1\]",
        ),
        (TrainFlags, "crop_fraction", 1.5, r"`crop_fraction` must be in \(0, 1\]"),
        (TrainFlags, "epochs", "3", "`epochs` must be a whole number. Received: '3'"),
        (TrainFlags, "epochs", 2.5, "`epochs` must be a whole number"),
        (TrainFlags, "k", 5, "`k` must be a tuple. Received: 5"),
        (TrainFlags, "skip_corrupt", 1, "`skip_corrupt` must be true or false"),
    ],
)
def test_values_out_of_range_are_refused(kind, field, value, message):
    with pytest.raises(ValueError, match=message):
        kind(**{field: value})


@pytest.mark.parametrize("kind_and_field", NUMERIC, ids=lambda pair: pair[1].name)
@pytest.mark.parametrize("value", [-1, math.nan, math.inf])
def test_no_number_is_negative_or_not_finite(kind_and_field, value):
    kind, field = kind_and_field
    value = (value,) if kind_of(field)[2] else value
    with pytest.raises(UserError, match=f"`{field.name}` must be"):
        kind(**{field.name: value})


def test_a_workdir_has_a_name_and_a_bank_a_known_dtype():
    with pytest.raises(UserError, match="`workdir` must name a folder"):
        TrainFlags(workdir="")
    with pytest.raises(UserError, match="Known: float32, bfloat16"):
        TrainFlags(bank_dtype="typo")


PATHS = {
    "workdir": "~/run",
    "continue_from": "~/run",
    "dataset": "folder:~/photos",
    "eval_dataset": "npz:~/test.npz",
    "labelled_dataset": "folder:~",
    "labels": "~/labels.csv",
    "data_dir": "~/tfds",
    "export_dir": "~/export",
    "image": "~/a~.jpg",
    "gallery": "~/g.html",
    "voc_dir": "~/voc",
    "input": "~/in.pth",
    "output": "~/out.npz",
    "uri": "~/milvus.db",
    "data": "folder:~/new",
    "out": "~/out.npz",
    "embeddings": "~/out.npz",
    "against": "folder:~/held_out",
}


def test_every_path_may_start_at_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    found = set()
    for kind in KINDS:
        fields = dataclasses.fields(kind)
        names = [field.name for field in fields if field.metadata["path"]]
        words = [f"--{name}={PATHS[name]}" for name in names]
        flags = parse(words, fields).flags(kind)
        for name in names:
            received = getattr(flags, name)
            received = received[0] if isinstance(received, tuple) else received
            assert received == PATHS[name].replace("~", "/home/me", 1)
        found |= set(names)
    assert found == PATHS.keys()
    kept = {"dataset": "tfds:a", "workdir": "a/~b"}
    config = TrainFlags(**kept)
    assert {name: getattr(config, name) for name in kept} == kept
    uri = "http://host/~me"
    assert ExportFlags(engine="milvus", uri=uri).uri == uri


def test_a_name_in_several_programs_has_one_type():
    kinds = {}
    for kind in KINDS:
        for field in dataclasses.fields(kind):
            kinds.setdefault(field.name, set()).add(kind_of(field)[0])
    assert {name for name, found in kinds.items() if len(found) > 1} == set()


def test_help_groups_every_flag_of_train_once():
    listed = [field.name for fields in groups().values() for field in fields]
    assert listed == [field.name for field in dataclasses.fields(TrainFlags)]
    assert len(groups()) == 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "resnet18", "width": 16}, "`width` is read with --backbone="),
        ({"label_smoothing": 0.1}, "`label_smoothing` is read with --loss=instance_c"),
        ({"row_learning_rate": 2.0}, "`row_learning_rate` is read with --loss="),
        ({"recent_negatives": 9}, "loss=nonparametric_softmax. Leave"),
        ({"z_decay": 0.9, "loss": "sampled_softmax"}, "`z_decay` is read with"),
        ({"num_negatives": 9}, "--loss=nce or sampled_softmax only"),
        ({"decay_epochs": (3,), "schedule": "cosine"}, "`decay_epochs` is read with"),
        ({"warmup_epochs": 1}, "`warmup_epochs` is read with --schedule=cosine"),
        (
            {"proximal_weight": 1.0, "loss": "instance_classifier"},
            "`proximal_weight` is read with",
        ),
    ],
)
def test_a_flag_that_would_be_ignored_is_refused(changes, message):
    config = TrainFlags(**changes)
    with pytest.raises(UserError, match=message):
        config.refuse_ignored()


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("configs/*.cfg")), ids=str)
def test_no_recipe_sets_a_flag_that_would_be_ignored(path):
    fields = dataclasses.fields(TrainFlags)
    parse([f"--flagfile={path}"], fields).flags(TrainFlags).refuse_ignored()


def test_a_background_is_a_color():
    assert TrainFlags(background="black").background == "black"
    with pytest.raises(ValueError, match="a color's name"):
        TrainFlags(background="no color")
