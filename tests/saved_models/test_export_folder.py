"""An export is placed whole, or not at all; kill points are in a file of their own."""

import json
import os

import pytest

from npid_tf.errors import UserError
from npid_tf.saved_models.export_folder import new_export

MANIFEST = {
    "n": 1,
    "dim": 2,
    "encoder_hash": "x",
    "settings": {"kind": "brute force", "dtype": "float32"},
    "recall": {"k": 1, "value": 1.0},
    "data": {},
    "bytes": 8,
    "files": {},
    "curve": [],
    "queries": "none",
}


@pytest.mark.parametrize(
    ("manifest", "message"),
    [(None, "without a readable manifest"), ({"version": 7}, "version of its models")],
)
def test_an_index_that_does_not_name_its_models_places_nothing(
    manifest, message, tmp_path
):
    directory = tmp_path / "export"
    with pytest.raises(UserError, match=message), new_export(str(directory)) as new:
        for name in ("encoder", "index"):
            os.makedirs(os.path.join(new.partial, name))
        if manifest is not None:
            path = os.path.join(new.partial, "index", "manifest.json")
            with open(path, "w", encoding="utf-8") as file:
                json.dump({**MANIFEST, **manifest}, file)
        new.publish()
    assert os.listdir(directory) == []
