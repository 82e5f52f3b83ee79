"""Command lines and files of flags, and the values they give."""

import dataclasses
import importlib
import pathlib
import re

import pytest

from npid_tf.command_line.fields import Flags, flag
from npid_tf.command_line.given import flag_lines, parse
from npid_tf.command_line.programs import PROGRAMS, flags_of_all_programs
from npid_tf.errors import FileError, UserError
from npid_tf.protocols import PROTOCOLS
from npid_tf.runs.search import SearchFlags
from npid_tf.runs.train_flags import TrainFlags

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
FIELDS = dataclasses.fields(TrainFlags)


def train_flags(*words):
    return parse(words, FIELDS, flags_of_all_programs).flags(TrainFlags)


@dataclasses.dataclass(frozen=True)
class Rates(Flags):
    rates: tuple[float, ...] = flag((0.5,), "Numbers", above=0)
    token: str | None = flag(None, "A secret", secret=True)


OTHER_VALUES = {
    "an empty list": TrainFlags(decay_epochs=()),
    "lists and None": TrainFlags(decay_epochs=(3, 5), k=(1,), eval_split=None),
    "numbers and bools": TrainFlags(
        skip_corrupt=True, z_decay=0.99, weight_decay=1e-6, checkpoint_steps=7
    ),
    "numbers with a point": Rates(rates=(0.5, 1e-5)),
    "a comma in a file's name": SearchFlags(image=("a,b c.jpg", "c.png")),
    "text": TrainFlags(
        dataset="folder:/a b/c=d", data_dir="/tfds", eval_dataset="npz:x"
    ),
}


@pytest.mark.parametrize("flags", OTHER_VALUES.values(), ids=OTHER_VALUES)
def test_a_written_file_of_flags_is_read_as_the_same_flags(flags, tmp_path):
    (tmp_path / "flags.cfg").write_text("\n".join(flag_lines(flags)))
    given = parse([f"--flagfile={tmp_path}/flags.cfg"], dataclasses.fields(flags))
    assert given.flags(type(flags)) == flags


def test_a_secret_is_in_no_file():
    assert flag_lines(Rates(token="s3")) == ["--rates=0.5"]


def test_without_words_the_defaults_stand():
    assert train_flags() == TrainFlags()


def test_flags_after_the_file_win(tmp_path):
    (tmp_path / "a.cfg").write_text("--epochs=3\n")
    assert train_flags(f"--flagfile={tmp_path}/a.cfg", "--epochs=9").epochs == 9
    assert train_flags("--epochs", "9", "--flagfile", f"{tmp_path}/a.cfg").epochs == 3


def test_files_name_files_beside_them(tmp_path):
    (tmp_path / "a.cfg").write_text("# A comment.\n\n--flagfile=b.cfg\n--epochs=4\n")
    (tmp_path / "b.cfg").write_text("--epochs=3\n--noskip_corrupt\n--seed=7\n")
    flags = train_flags(f"--flagfile={tmp_path}/a.cfg")
    assert (flags.epochs, flags.seed) == (4, 7)
    (tmp_path / "b.cfg").write_text("--flagfile=a.cfg\n")
    with pytest.raises(UserError, match="names itself"):
        train_flags(f"--flagfile={tmp_path}/a.cfg")
    with pytest.raises(FileError, match=r"c\.cfg cannot be read"):
        train_flags(f"--flagfile={tmp_path}/c.cfg")


def test_a_flag_that_no_program_has_is_refused_in_a_file_and_on_the_line(tmp_path):
    (tmp_path / "flags.cfg").write_text("--temprature=0.1\n")
    for word in (f"--flagfile={tmp_path / 'flags.cfg'}", "--temprature=0.1"):
        with pytest.raises(UserError, match=r"temprature.*mean --temperature"):
            train_flags(word)


def test_a_flag_of_another_program_is_refused_on_the_line_and_passed_over_in_a_file(
    tmp_path,
):
    with pytest.raises(UserError, match="--recall is a flag of export"):
        train_flags("--recall=0.9")
    with pytest.raises(UserError, match="--layers is a flag of evaluate --protocol="):
        train_flags("--layers=conv1")
    (tmp_path / "flags.cfg").write_text("--recall=0.9\n--noread_only\n--epochs=3\n")
    given = parse([f"--flagfile={tmp_path}/flags.cfg"], FIELDS, flags_of_all_programs)
    assert given.values == {"epochs": 3}
    assert given.elsewhere == {"recall": "--recall=0.9", "noread_only": "--noread_only"}


def test_flags_may_follow_arguments_and_two_dashes_end_them():
    given = parse(["photos", "--epochs=3", "--", "--odd.jpg"], FIELDS)
    assert (given.arguments, given.values) == (["photos", "--odd.jpg"], {"epochs": 3})


def test_an_alias_sets_its_flag():
    given = parse(["--data=PHOTOS"], FIELDS, aliases={"data": "dataset"})
    assert (given.values, given.on_line) == ({"dataset": "PHOTOS"}, {"dataset"})


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--k=5,0", "`k` must be at least 1"),
        ("--k=", "`k` must be at least 1"),
        ("--k=5,x", "`k` must be whole numbers separated by commas. Received: 5,x"),
        ("--epochs=two", "epochs"),
        ("--skip_corrupt=x", "skip_corrupt"),
    ],
)
def test_bad_values_are_refused(word, message):
    with pytest.raises(UserError, match=message):
        train_flags(word)


def test_numbers_that_are_none_are_refused():
    with pytest.raises(UserError, match=r"separated by commas\. Received: \.1,x"):
        parse(["--rates=.1,x"], dataclasses.fields(Rates)).flags(Rates)


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("configs/*.cfg")), ids=str)
def test_every_recipe_parses_from_any_folder(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert train_flags(f"--flagfile={path}") != TrainFlags()


def values_set_somewhere():
    """{(flag, value as text)} that a recipe, the README, a benchmark or a test sets."""
    texts = []
    for pattern in ("configs/*.cfg", "README.md", "docs/*.md", "Makefile", "export/*"):
        texts += [p.read_text(encoding="utf-8") for p in REPOSITORY.glob(pattern)
                  if p.suffix != ".png"]  # fmt: skip
    for pattern in ("tests/**/*.py", "benchmarks/*.py"):
        texts += [path.read_text(encoding="utf-8") for path in REPOSITORY.glob(pattern)]
    found = set()
    for text in texts:
        for name, value in re.findall(r"--(\w+)(?:=([^\s`\"']+))?", text):
            found.add((name.removeprefix("no"), value))
            found.add((name, value))
        for name, value in re.findall(r"\b(\w+)=([^\n,)]+|\([^)]*\))", text):
            found.add((name, value.strip("\"'")))
        for name, value in re.findall(r"\"(\w+)\": ([^\n,}]+|\([^)]*\))", text):
            found.add((name, value.strip("\"'")))
    return found


def all_fields():
    kinds = [protocol.flags for protocol in PROTOCOLS.values()]
    for _, places in PROGRAMS.values():
        for place in places:
            module, name = place.split(":")
            kinds.append(getattr(importlib.import_module(module), name))
    return {field.name: field for kind in kinds for field in dataclasses.fields(kind)}


def test_every_flag_is_set_to_another_value_than_its_default_somewhere():
    found = values_set_somewhere()
    never = []
    for name, field in all_fields().items():
        values = {value for known, value in found if known == name}
        others = values if field.type is bool else values - {str(field.default), ""}
        if not others:
            never.append(name)
    assert not never, f"Set by no recipe, test, benchmark or document: {never}."
