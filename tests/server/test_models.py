"""Versions: which are found, loaded, served, and what is told of the others."""

import os

import numpy as np
import pytest

from npid_tf.server.limits import RequestError
from npid_tf.server.models import Models
from tests.support.half_plus import save_half_plus


@pytest.fixture
def models(tmp_path):
    return Models(str(tmp_path))


def load_and_publish(models):
    for item in models.find_new():
        servable = models.load(*item)
        if servable is not None:
            models.publish(servable)


def predict(models, version=None):
    servable = models.get("encoder", version)
    inputs = {"x": np.array([2], np.float32)}
    return servable.run("serving_default", inputs)["y"].tolist()


def test_the_newest_version_is_served_and_a_newer_one_takes_over(models, tmp_path):
    assert models.find_new() == []
    save_half_plus(tmp_path / "encoder" / "1", 1.0)
    save_half_plus(tmp_path / "encoder" / "10", 10.0)
    os.mkdir(tmp_path / "encoder" / "x")
    os.mkdir(tmp_path / "encoder" / "011")
    assert models.find_new() == [("encoder", 10)]
    load_and_publish(models)
    assert models.find_new() == []
    assert (predict(models), predict(models, 10)) == ([11.0], [11.0])
    before = models.get("encoder")

    save_half_plus(tmp_path / "encoder" / "11", 11.0)
    load_and_publish(models)
    assert predict(models) == [12.0]
    states = {number: s.state for number, s in models.status("encoder").items()}
    assert states == {11: "AVAILABLE", 10: "END"}
    with pytest.raises(RequestError, match=r"Specific\(encoder, 10\)"):
        models.get("encoder", 10)
    # Who began with the version before ends with it.
    inputs = {"x": np.array([2], np.float32)}
    assert before.run("serving_default", inputs)["y"].tolist() == [11.0]


def test_a_version_that_does_not_load_leaves_the_one_before(models, tmp_path, capsys):
    save_half_plus(tmp_path / "encoder" / "1", 1.0)
    load_and_publish(models)
    broken = tmp_path / "encoder" / "2"
    broken.mkdir()
    (broken / "saved_model.pb").write_bytes(b"the beginning")
    load_and_publish(models)
    assert predict(models) == [2.0]
    status = models.status("encoder", 2)[2]
    assert status.state == "END"
    assert "a model exported by npid_tf" in status.error
    assert "Could not load encoder version 2" in capsys.readouterr().out
    assert models.find_new() == []  # Not again, until it changes.
    save_half_plus(broken, 2.0)
    os.utime(broken, ns=(0, os.stat(broken).st_mtime_ns + 1))
    load_and_publish(models)
    assert predict(models) == [3.0]


def test_unknown_models_versions_and_signatures_are_told(models, tmp_path):
    save_half_plus(tmp_path / "encoder" / "1", 1.0)
    load_and_publish(models)
    for ask in (models.get, models.status):
        with pytest.raises(RequestError, match="half") as caught:
            ask("half")
        assert caught.value.status == 404
    with pytest.raises(RequestError, match="version 5 of model encoder"):
        models.status("encoder", 5)
    for ask in (models.get("encoder").input_specs, models.get("encoder").output_names):
        with pytest.raises(RequestError, match="Known: serving_default, sum_up"):
            ask("__saved_model_init_op")


def test_the_warm_up_of_an_export_runs_when_it_is_loaded(exported, monkeypatch):
    calls = []
    run = "npid_tf.server.models.Servable.run"
    monkeypatch.setattr(run, lambda self, name, inputs: calls.append((name, inputs)))
    models = Models(exported.export_dir)
    models.load("encoder", 1)
    assert [name for name, _ in calls] == ["serving_default", "serving_bytes"]
    assert calls[0][1]["images"].shape == (1, 8, 8, 3)
