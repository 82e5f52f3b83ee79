"""A run goes on with the images that are there: its rows follow them."""

import dataclasses
import os
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

from npid_tf.checkpoints.files import list_checkpoints, read_state
from npid_tf.checkpoints.manifests import saved_manifest
from npid_tf.encoders.embed import embed
from npid_tf.errors import FileError, UserError
from npid_tf.run import Run
from npid_tf.runs import build, data
from npid_tf.runs.continued import with_its_encoder
from npid_tf.runs.convert import convert_out
from npid_tf.runs.train import train
from npid_tf.runs.train_flags import TrainFlags
from npid_tf.runs.workdir import checkpoint_directory
from tests.support.tiny_run import saved_tensors

FIRST = [f"{name}/{number:02}.png" for name in "ab" for number in range(10)]
NEW = ["a/00 new.png", "b/99.png", "c/1.png"]
GONE, RENAMED, CHANGED = ["a/03.png"], {"b/04.png": "a/zz.png"}, ["b/05.png"]


def write_image(folder, name, seed):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, [8, 8, 3], np.uint8)
    Image.fromarray(pixels).save(path)


def change(folder):
    """What happens to folders of photos."""
    for name in GONE:
        (folder / name).unlink()
    for before, now in RENAMED.items():
        (folder / before).rename(folder / now)
    for number, name in enumerate(CHANGED + NEW):
        write_image(folder, name, 100 + number)


@pytest.fixture(scope="module", autouse=True)
def small_backbone():
    """In place of ResNet-18, which takes seconds to build and to trace."""

    def build_backbone(name, image_size, width):
        images = keras.Input([image_size, image_size, 3])
        x = keras.layers.Conv2D(8, 3, strides=4, activation="relu")(images)
        x = keras.layers.Flatten()(keras.layers.BatchNormalization()(x))
        return keras.Model(images, x, name=name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "build_backbone", build_backbone)
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory, small_backbone):
    """A run of NCE on 20 images, trained for an epoch, in a folder to copy."""
    place = tmp_path_factory.mktemp("growth")
    for number, name in enumerate(FIRST):
        write_image(place / "photos", name, number)
    train(config_in(place))
    return place


def config_in(place, **changes):
    config = TrainFlags(
        workdir=str(place / "run"),
        dataset=f"folder:{place}/photos",
        image_size=8,
        augmentation="none",
        embedding_dim=4,
        loss="nce",
        num_negatives=8,
        z_decay=0.5,
        schedule="cosine",
        epochs=1,
        batch_size=3,
        k=(3,),
    )
    return dataclasses.replace(config, **changes)


@pytest.fixture
def place(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "copy")


@pytest.fixture(scope="module")
def grown(trained, tmp_path_factory):
    """The run after its folder changed, and the same command."""
    place = shutil.copytree(trained, tmp_path_factory.mktemp("grown") / "copy")
    change(place / "photos")
    train(config_in(place))
    return place


def newest(place):
    """(fingerprint, tensors, rows) of the newest checkpoint."""
    config = config_in(place)
    path = list_checkpoints(checkpoint_directory(config))[-1]
    tensors = saved_tensors(config.workdir)
    rows = tensors.pop("rows-000000000000.npy")
    return read_state(path)["fingerprint"], tensors, rows


def paths_of_rows(place):
    directory = checkpoint_directory(config_in(place))
    return saved_manifest(directory, newest(place)[0])["paths"]


def test_rows_follow_their_images_and_new_ones_begin_with_an_embedding(trained, grown):
    kept = [name for name in FIRST if name not in GONE + CHANGED]
    kept = [RENAMED.get(name, name) for name in kept]
    assert paths_of_rows(grown) == kept + sorted(NEW + CHANGED)
    _, _, rows = newest(grown)
    _, _, before = newest(trained)
    stayed = [i for i, name in enumerate(FIRST) if name not in GONE + CHANGED]
    np.testing.assert_array_equal(rows[: len(kept)], before[stayed])
    config = config_in(grown)
    source = data.build_source(config)
    dataset = data.build_eval_dataset(config, source)
    embeddings = embed(build.load_trained_encoder(config), dataset, len(rows))
    np.testing.assert_allclose(
        rows[len(kept) :], embeddings[len(kept) :], rtol=0, atol=1e-5
    )


def test_encoder_and_optimizer_go_on_and_z_and_schedule_are_scaled(trained, grown):
    (_, before, _), (_, now, _) = newest(trained), newest(grown)
    assert before.keys() == now.keys()
    different = {name for name in now if not np.array_equal(before[name], now[name])}
    (z,) = (name for name in now if name.startswith("loss/z/"))
    (step,) = (name for name in now if name.startswith("step/"))
    (iterations,) = (name for name in now if "optimizer/_iterations/" in name)
    assert different == {z, step, iterations}
    num_before, num_now = len(FIRST), len(FIRST) + len(NEW) - len(GONE)
    np.testing.assert_allclose(now[z], before[z] * num_now / num_before, rtol=1e-6)
    # The steps of the one epoch that is done.
    assert (before[iterations], now[iterations]) == (num_before // 3, num_now // 3)


def test_a_finished_run_tells_what_came_and_how_to_learn_it(place, capsys):
    change(place / "photos")
    train(config_in(place))
    out = capsys.readouterr().out
    told = "3 new images, 1 gone, 1 renamed, 1 changed; 17 as they were"
    assert f"Since the last checkpoint: {told}" in out
    assert "The 4 new images have rows" in out
    assert "pass --epochs=N, with more than 1" in out
    train(config_in(place))
    assert "Since" not in capsys.readouterr().out  # All is known now.


def test_more_epochs_learn_the_new_images(grown, tmp_path, capsys):
    place = shutil.copytree(grown, tmp_path / "copy")
    config = config_in(place, epochs=2)
    train(config)
    assert "Resuming at epoch 2, step 1." in capsys.readouterr().out
    _, _, before = newest(grown)
    _, _, rows = newest(place)
    assert (rows != before).any(axis=1).sum() >= 20  # Seven steps of three.


def test_the_programs_take_the_images_that_are_there(place, capsys):
    change(place / "photos")
    (place / "photos" / "b" / "07.png").write_bytes(b"no image any more")
    run, photos = Run(place / "run"), f"folder:{place}/photos"
    found = run.embed(dataset=photos)
    assert len(found["ids"]) == 21
    out = capsys.readouterr().out
    assert "3 new images, 2 gone, 1 renamed, 1 changed; 16 as they were" in out
    assert "Left out 1 files that do not decode" in out and "07.png" in out
    rows = run.evaluate("knn", dataset=photos, eval_dataset=photos)
    out = capsys.readouterr().out
    assert "4 images that have no row, and 3 rows that have no image" in out
    assert {row["feature"] for row in rows} >= {"bank as trained", "raw pixels"}
    run.evaluate("retrieval", dataset=photos)
    shutil.rmtree(place / "photos")
    convert_out(config_in(place), str(tmp := place / "encoder.npz"))
    assert tmp.exists()


def test_the_bank_is_judged_by_the_rows_of_the_images_left(place):
    change(place / "photos")
    config = config_in(place)
    source = data.build_source_of_rows(config)
    model, rows = build.load_with_rows(config, source)
    kept = [name for name in FIRST if name not in GONE + CHANGED]
    assert rows.tolist() == [FIRST.index(name) for name in kept]
    names = [os.path.relpath(path, place / "photos") for path in source.paths]
    assert names == [RENAMED.get(name, name) for name in kept]
    assert model.bank.num_instances == len(FIRST)
    everything = data.build_source(config)
    _, rows = build.load_with_rows(config, everything)
    assert rows[len(kept) :].tolist() == [-1] * 4


def test_a_run_of_none_of_its_images_says_so(place):
    shutil.rmtree(place / "photos" / "a")
    shutil.rmtree(place / "photos" / "b")
    write_image(place / "photos", "b/1.png", 77)
    with pytest.raises(UserError, match=r"None of the 20 images .*--dataset"):
        data.build_source_of_rows(config_in(place))


def test_a_file_that_broke_stops_training_alone(place, capsys):
    (place / "photos" / "b" / "07.png").write_bytes(b"no image any more")
    with pytest.raises(UserError, match=r"07.png.*--skip_corrupt"):
        train(config_in(place))
    train(config_in(place, skip_corrupt=True))
    assert "0 new images, 1 gone, 0 renamed" in capsys.readouterr().out
    train(config_in(place))  # Known to be left out.
    (place / "photos" / "a" / "00.png").write_bytes(b"no image either")
    with pytest.raises(UserError, match=r"1 of 20 files in .*a/00.png"):
        train(config_in(place))


def test_a_part_of_a_folder_is_one_of_the_folder_as_it_is_now(place):
    change(place / "photos")
    config = config_in(place, split="train[:50%]", eval_split="train[50%:]")
    source, eval_source = data.build_source(config), data.build_eval_source(config)
    assert not set(source.paths) & set(eval_source.paths)
    assert len(source.paths) + len(eval_source.paths) == 22


def test_runs_with_one_manifest_of_all_go_on(place, capsys):
    """As they were written before each checkpoint had its own."""
    (path,) = (place / "run" / "manifests").iterdir()
    path.rename(place / "run" / "manifest.json")
    shutil.copytree(place, other := place.with_name("unchanged"))
    train(config_in(other))
    assert "Since" not in capsys.readouterr().out
    change(place / "photos")
    train(config_in(place))
    assert "1 renamed, 1 changed; 17 as they were" in capsys.readouterr().out
    assert len(list((place / "run" / "manifests").iterdir())) == 1
    assert (place / "run" / "manifest.json").exists()  # The older checkpoint's.


def test_which_image_is_which_row_is_never_guessed(place, capsys):
    (path,) = (place / "run" / "manifests").iterdir()
    manifest = path.read_text()
    path.unlink()
    train(config_in(place))  # Nothing changed: nothing is to be told.
    change(place / "photos")
    with pytest.raises(FileError, match=r"manifests/.*\.json is missing"):
        train(config_in(place))
    photos = f"folder:{place}/photos"
    assert len(Run(place / "run").embed(dataset=photos)["ids"]) == 22  # Needs no rows.
    assert "in the order of their names" in capsys.readouterr().out
    path.write_text(manifest.replace("a/01.png", "a/77.png"))
    with pytest.raises(FileError, match="not as it was written"):
        train(config_in(place))


def test_a_new_run_begins_with_the_encoder_of_another(trained, tmp_path, capsys):
    config = config_in(
        trained, continue_from=f"{trained}/run", learning_rate=1e-12, bank_momentum=0.0
    )
    config = dataclasses.replace(config, workdir=str(tmp_path / "new"))
    train(config)  # Nothing moves, and rows become embeddings of views, which are none.
    assert f"The encoder is that of {trained}/run/" in capsys.readouterr().out
    first, second = (
        build.load_trained_encoder(each).trainable_variables
        for each in (config_in(trained), config)
    )
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
    assert Run(tmp_path / "new").config.continue_from == f"{trained}/run"


def test_another_encoder_is_not_gone_on_with(trained, tmp_path):
    config = config_in(trained, continue_from=f"{trained}/run")
    new = dataclasses.replace(config, workdir=str(tmp_path / "new"), embedding_dim=5)
    with pytest.raises(UserError, match=r"--embedding_dim=5, there 4\. Pass what it"):
        train(new)
    new = dataclasses.replace(new, continue_from=f"{tmp_path}/none")
    with pytest.raises(UserError, match=r"No run in .*none"):
        train(new)
    assert not (tmp_path / "new" / "run.json").exists()
    # Where flags follow the data, the encoder's are those of the other run.
    config = dataclasses.replace(config, embedding_dim=5)
    other, stay = with_its_encoder(config, frozenset({"head"}))
    assert other.embedding_dim == 4 and "embedding_dim" in stay
