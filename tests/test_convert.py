"""Weights into a run and out of it, by the program's own functions."""

import dataclasses
import os

import numpy as np
import pytest

from npid_tf.checkpoints.files import list_checkpoints
from npid_tf.convert import main
from npid_tf.encoders.embed import embed
from npid_tf.runs import build, data
from npid_tf.runs.convert import ConvertFlags, is_bank_of
from npid_tf.runs.train import train
from npid_tf.runs.train_flags import TrainFlags
from npid_tf.runs.workdir import checkpoint_directory, read_run
from npid_tf.weights.encoder_arrays import read_encoder
from npid_tf.weights.files import read_file
from tests.support.given import given
from tests.support.torch_pickles import Call, write_legacy


def embeddings_of(config):
    """The trained encoder's, and its bank."""
    source = data.build_source(config)
    model = build.load_trained(config, source)
    dataset = data.build_eval_dataset(config, source)
    return embed(model.encoder, dataset, source.num_instances), model.bank.numpy()


@pytest.fixture(scope="module")
def written(trained_workdir, tmp_path_factory):
    """The tiny run's encoder: the file, and its arrays."""
    path = str(tmp_path_factory.mktemp("written") / "encoder.npz")
    main(given(workdir=trained_workdir.workdir, output=path))
    with np.load(path) as arrays:
        return path, dict(arrays)


@pytest.fixture
def into(trained_workdir, tmp_path):
    """Converts a file into a new run on the same images, with other settings."""

    def convert(path, source, **settings):
        config = dataclasses.replace(
            trained_workdir,
            workdir=str(tmp_path / "run"),
            embedding_dim=3,
            seed=1,
            **settings,
        )
        main(given(config, ConvertFlags(input=str(path), source=source)))
        return TrainFlags.of(read_run(config.workdir))

    return convert


def lemniscate(arrays, bank, params):
    """As the authors' code saves it: the bank within a pickled module."""
    buffers = {"params": np.array(params, "float32"), "memory": bank}
    state = {"training": True, "_buffers": buffers, "K": 4096}
    average = Call("lib.NCEAverage", "NCEAverage", state=state)
    state_dict = {f"module.{name}": array for name, array in arrays.items()}
    return {"epoch": 200, "state_dict": state_dict, "lemniscate": average}


def test_the_way_out_and_back_is_exact(
    trained_workdir, written, into, capsys, tmp_path
):
    run = into(written[0], "npid_tf")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("From the file: --head=linear")
    assert lines[1] == "Matched: 102 of the encoder's 102 arrays."
    assert lines[-1] == (
        f"Written to {run.workdir}: train, evaluate and export take it."
    )
    assert run.embedding_dim == 16
    embeddings, bank = embeddings_of(run)
    expected, _ = embeddings_of(trained_workdir)
    np.testing.assert_array_equal(embeddings, expected)
    np.testing.assert_allclose(bank, expected, atol=1e-6)
    for ending in ("pth", "safetensors"):
        path = str(tmp_path / f"out.{ending}")
        main(given(workdir=run.workdir, output=path))
        arrays = read_file(path)
        assert arrays.keys() == written[1].keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, written[1][name])


def test_training_goes_on_from_converted_weights(written, into):
    run = into(written[0], "npid_tf")
    model = train(run)  # One epoch.
    assert int(os.path.basename(list_checkpoints(checkpoint_directory(run))[-1]))
    moved = [
        np.abs(array - written[1][name]).mean() / np.abs(array).mean()
        for name, array in read_encoder(model.encoder).items()
        if name.endswith("conv1.weight")
    ]
    assert 0 < max(moved) < 0.5


def test_the_authors_bank_and_settings_are_taken(
    trained_workdir, written, into, tmp_path
):
    _, arrays = written
    bank, _ = embeddings_of(trained_workdir)
    bank[:8] = bank[8:16]  # Not the embeddings, as a trained bank is not.
    params = [100, 0.25, 12345.0, 0.75]
    write_legacy(tmp_path / "ckpt.pth.tar", lemniscate(arrays, bank, params))
    run = into(tmp_path / "ckpt.pth.tar", "lemniscate", loss="nce", num_negatives=9)
    assert (run.temperature, run.bank_momentum) == (0.25, 0.75)
    model = build.load_trained(run, data.build_source(run))
    np.testing.assert_allclose(model.bank.numpy(), bank, atol=1e-6)
    assert model.bank.momentum == 0.75
    assert model.instance_loss.z.numpy() == 12345


def test_a_bank_of_other_images_is_not_taken(trained_workdir, capsys):
    config = trained_workdir
    source = data.build_source(config)
    encoder = build.load_trained(config, source).encoder
    dataset = data.build_eval_dataset(config, source)
    own = embed(encoder, dataset, 256)
    assert is_bank_of(own, encoder, dataset, 256)
    assert not is_bank_of(None, encoder, dataset, 256)
    assert capsys.readouterr().out == ""
    assert not is_bank_of(own[::-1], encoder, dataset, 256)
    assert "of these in another order" in capsys.readouterr().out
    assert not is_bank_of(own[:-1], encoder, dataset, 256)
    assert "is [255, 16], that of the images [256, 16]" in capsys.readouterr().out


def test_an_unset_array_ends_it_and_nothing_is_written(written, into, tmp_path, capsys):
    arrays = dict(written[1])
    arrays["layer1.0.extra"] = arrays.pop("layer1.0.conv1.weight")
    path = tmp_path / "less.npz"
    np.savez(path, **arrays)
    message = r"1 of the encoder's arrays stay unset.*--backbone=resnet18_cifar"
    with pytest.raises(ValueError, match=message):
        into(path, "npid_tf")
    lines = capsys.readouterr().out.splitlines()
    assert "  layer1.0.extra" in lines
    assert "  layer1.0.conv1.weight [4, 4, 3, 3]: not in the file" in lines
    assert list_checkpoints(str(tmp_path / "run" / "checkpoints")) == []


def test_a_run_is_not_overwritten(written, trained_workdir):
    with pytest.raises(ValueError, match=r"has checkpoints\. Pass another --workdir"):
        main(given(trained_workdir, input=written[0]))


@pytest.mark.parametrize("files", [{}, {"input": "a.pth", "output": "b.npz"}])
def test_one_of_input_and_output_is_asked_for(files, trained_workdir):
    with pytest.raises(ValueError, match="Pass either --input=FILE"):
        main(given(trained_workdir, **files))


def test_bare_arguments_are_refused(trained_workdir, written):
    with pytest.raises(ValueError, match=r"Unexpected arguments: file.pth"):
        main(given(trained_workdir, input=written[0], arguments=["file.pth"]))


def test_flags_of_the_run_are_its_own_on_the_way_out(trained_workdir):
    line = given(workdir=trained_workdir.workdir, output="x.npz", width=9)
    line = dataclasses.replace(line, on_line=frozenset({"width", "output"}))
    with pytest.raises(ValueError, match=r"`width` is the run's own"):
        main(line)
