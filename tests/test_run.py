"""A run from Python: what the programs do, by methods."""

import json

import numpy as np
import pytest

import npid_tf
from npid_tf.errors import UserError
from npid_tf.run import Run

TINY = {
    "split": "train[:96]",
    "eval_split": "test[:20]",
    "image_size": 8,
    "width": 4,
    "embedding_dim": 8,
    "augmentation": "none",
    "batch_size": 32,
    "epochs": 1,
    "warmup_epochs": 0,
    "k": (1, 3),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run") / "digits"
    return npid_tf.Run(workdir).train(data="digits", recipe="smoke", **TINY,
                                      checkpoint_steps=None)  # fmt: skip


def test_a_recipe_gives_the_flags_that_are_not_given(run):
    assert (run.config.loss, run.config.head) == ("nce", "mlp")  # The recipe's.
    assert (run.config.epochs, run.config.dataset) == (1, "digits")
    assert run.config.workdir == run.workdir


def test_it_evaluates_embeds_and_exports(run, tmp_path):
    rows = run.evaluate("knn", k=(1, 5))
    assert {row["k"] for row in rows} == {1, 5}
    found = run.embed(out=str(tmp_path / "all.npz"))
    assert found["embeddings"].shape == (96, 8)
    np.testing.assert_allclose(np.linalg.norm(found["embeddings"], axis=1), 1, 1e-5)
    with np.load(tmp_path / "all.npz") as file:
        np.testing.assert_array_equal(file["embeddings"], found["embeddings"])
        assert file["ids"].tolist() == [str(number) for number in range(96)]
        assert len(json.loads(str(file["about"]))["encoder_hash"]) == 64
    other = run.embed("digits", data_split="test[:7]")
    assert (other["embeddings"].shape, other["labels"].shape) == ((7, 8), (7,))
    manifest = run.export(tmp_path / "export")
    assert manifest["n"] == 96
    images = np.zeros([2, 8, 8, 3], np.uint8)
    assert run.encoder()(images).shape == (2, 8)


def test_training_again_resumes_with_its_own_flags(run, capsys):
    Run(run.workdir).train(epochs=2)
    assert "Resuming at epoch 2" in capsys.readouterr().out
    assert Run(run.workdir).config.epochs == 2
    assert Run(run.workdir).config.width == 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run: run.train(epoch=3), "Unknown flags: epoch. Known: .*epochs"),
        (
            lambda run: run.train(recipe="typo"),
            "Unknown recipe 'typo'. Known: .*photos",
        ),
        (lambda run: run.train(epochs="3"), "`epochs` must be a whole number"),
        (lambda run: run.evaluate("typo"), "Unknown protocol 'typo'. Known: knn"),
        (lambda run: run.evaluate("knn", layers=("x",)), "Unknown flags: layers"),
        (lambda run: run.export("x", recal=1), "Unknown flags: recal. Known: .*recall"),
        (
            lambda run: run.embed(out="x.csv"),
            "`out` must be a file: FILE.npz, FILE.npy",
        ),
        (lambda run: run.embed(workdir="x"), "Unknown flags: workdir"),
    ],
)
def test_what_cannot_be_meant_is_refused(run, call, message):
    with pytest.raises(UserError, match=message):
        call(run)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"No run in .*npid train"):
        Run(tmp_path).evaluate()
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UserError, match=r"run.json is damaged"):
        Run(tmp_path).evaluate()
    (tmp_path / "run.json").write_text('{"format": 9, "flags": {}}')
    with pytest.raises(UserError, match="install a newer npid_tf"):
        Run(tmp_path).evaluate()
