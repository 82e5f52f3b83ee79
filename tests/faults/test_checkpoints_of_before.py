"""Checkpoints that commit d43bdf2 wrote: read, and what can be seen of damage is."""

import pathlib
import shutil

import numpy as np
import pytest

from npid_tf.checkpoints.checkpoints import Checkpoints
from npid_tf.checkpoints.files import list_damaged
from npid_tf.errors import UserError
from tests.support.saved_models import FINGERPRINT, build, fill, is_same, state

RECORDED = pathlib.Path(__file__).parent / "recorded" / "d43bdf2"
ROWS = "rows-000000000000.npy"
WEIGHTS = "variables.data-00000-of-00001"


@pytest.fixture(scope="module", params=["memory_bank", "learned_rows"])
def old(request):
    """(a model, a folder of that commit with its checkpoint of step 4)"""
    return build(request.param), RECORDED / request.param


def test_it_is_restored_and_its_lack_of_checksums_told(old, tmp_path, capsys):
    model, folder = old
    shutil.copytree(folder, tmp_path / "run")
    fill(model, 4)
    expected = state(model)
    fill(model, 99)
    position = Checkpoints(tmp_path / "run", model, FINGERPRINT).restore()
    assert (position.epoch, position.step, position.batch_size) == (4, 0, None)
    assert is_same(state(model), expected)
    assert "older npid_tf, without checksums" in capsys.readouterr().out


def zero_a_row(path):
    rows = np.load(path)
    rows[3] = 0
    np.save(path, rows)


def no_number(path):
    rows = np.load(path)
    rows[3] = np.nan
    np.save(path, rows)


def shorten(path):
    np.save(path, np.load(path)[:-1])


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[20] ^= 4
    path.write_bytes(data)


DAMAGES = [
    (ROWS, lambda path: path.unlink()),
    (ROWS, lambda path: path.write_bytes(b"")),
    (ROWS, lambda path: path.write_bytes(path.read_bytes()[:-9])),
    (ROWS, zero_a_row),
    (ROWS, no_number),
    (ROWS, shorten),
    (WEIGHTS, lambda path: path.unlink()),
    (WEIGHTS, lambda path: path.write_bytes(b"")),
    (WEIGHTS, flip_a_bit),
    ("variables.index", lambda path: path.write_bytes(b"")),
    ("variables.index", flip_a_bit),
    ("state.json", lambda path: path.unlink()),
    ("state.json", lambda path: path.write_text(path.read_text()[:-30])),
    ("state.json", lambda path: path.write_text(path.read_text().replace("11", "7"))),
]


def test_what_can_be_seen_of_damage_stops_it(old, tmp_path):
    model, folder = old
    fill(model, 99)
    before = state(model)
    for number, (name, damage) in enumerate(DAMAGES):
        shutil.copytree(folder, tmp_path / str(number))
        damage(tmp_path / str(number) / "000000004" / name)
        with pytest.raises(UserError, match="is whole"):
            Checkpoints(tmp_path / str(number), model, FINGERPRINT).restore()
        assert is_same(state(model), before), (name, number)
        assert len(list_damaged(tmp_path / str(number))) == 1


def test_a_velocity_that_is_missing_is_not_zeros(tmp_path):
    model = build("learned_rows")
    shutil.copytree(RECORDED / "learned_rows", tmp_path / "run")
    (tmp_path / "run" / "000000004" / "velocity-000000000000.npy").unlink()
    with pytest.raises(UserError, match=r"has neighbors, rows .*velocity"):
        Checkpoints(tmp_path / "run", model, FINGERPRINT).restore()
