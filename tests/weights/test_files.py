"""Files of arrays: those that PyTorch wrote, and those that it did not."""

import os
import pathlib

import numpy as np
import pytest
import safetensors.numpy

from npid_tf.weights.files import read_file, write_file
from tests.support.networks import import_beside_tensorflow
from tests.support.torch_pickles import Call, Storage, write_legacy, write_zip

RECORDED = pathlib.Path(__file__).parent / "recorded"
ARRAYS = {
    "weight": np.arange(6, dtype="float32").reshape(2, 3),
    "count": np.array(7),
    "empty": np.zeros((0, 2), "float32"),
}
WRITERS = {"zip": write_zip, "legacy": write_legacy}


@pytest.fixture(params=WRITERS)
def write(request):
    return WRITERS[request.param]


def check_arrays(content):
    for name, array in ARRAYS.items():
        assert content[name].dtype == array.dtype
        np.testing.assert_array_equal(content[name], array)


# What PyTorch 2.14 wrote, see record.py.
@pytest.mark.parametrize("name", ["types_zip.pth", "types_legacy.pth"])
def test_what_pytorch_wrote_is_read_in_every_type(name):
    content = read_file(RECORDED / name)
    base = np.arange(6).reshape(2, 3)
    tensors = content["tensors"]
    dtypes = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool"
    assert " ".join(tensors) == dtypes
    for dtype, array in tensors.items():
        assert array.dtype.name == dtype
        np.testing.assert_array_equal(array.astype("float32"), base.astype(dtype))
    np.testing.assert_array_equal(content["transposed"], base.T)
    np.testing.assert_array_equal(content["part"], base[1, 1:])
    np.testing.assert_array_equal(content["parameter"], [1, 2])
    assert content["step"] == 3
    assert content["optimizer"]["param_groups"][0]["lr"] == 0.5


def test_files_are_read_in_both_formats(write, tmp_path):
    write(tmp_path / "file.pth", {"state_dict": ARRAYS, "epoch": 3})
    content = read_file(tmp_path / "file.pth")
    assert content["epoch"] == 3
    check_arrays(content["state_dict"])


def test_a_malicious_file_is_refused_and_nothing_runs(write, tmp_path):
    mark = tmp_path / "ran"
    attacks = [
        Call("os", "system", f"touch {mark}"),
        Call("builtins", "eval", f"open({str(mark)!r}, 'w')"),
    ]
    write(tmp_path / "file.pth", {"state_dict": ARRAYS, "attacks": attacks})
    message = r"asks for builtins.eval, os.system, which .*nothing of it was run"
    with pytest.raises(ValueError, match=message):
        read_file(tmp_path / "file.pth")
    assert not mark.exists()


def test_damaged_files_are_refused(write, tmp_path):
    path = tmp_path / "file.pth"
    write(path, ARRAYS)
    whole = path.read_bytes()
    for length in (0, 1, 40, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"file\.pth is .*PyTorch"):
            read_file(path)


@pytest.mark.parametrize("name", ["types_zip.pth", "types_legacy.pth"])
def test_a_file_with_wrong_bytes_is_read_or_refused(name, tmp_path):
    whole = np.frombuffer((RECORDED / name).read_bytes(), np.uint8)
    generator = np.random.default_rng(0)
    num_refused = 0
    for _ in range(200):
        wrong = whole.copy()
        places = generator.integers(0, 1800, 3)  # Most of it before the values.
        wrong[places] = generator.integers(0, 256, 3)
        (tmp_path / name).write_bytes(wrong.tobytes())
        try:
            read_file(tmp_path / name)
        except ValueError as error:
            num_refused += 1
            assert name in str(error)
    assert num_refused > 50


def test_a_storage_that_the_file_cannot_hold_is_not_allocated(write, tmp_path):
    path = tmp_path / "file.pth"
    count = 2**50
    storage = Storage(np.zeros(7, "float32"), count)
    rebuild = "torch._utils", "_rebuild_tensor_v2"
    write(path, {"a": Call(*rebuild, storage, 0, (count,), (1,))})
    with pytest.raises(
        ValueError, match=r"smaller than requested|larger than the file"
    ):
        read_file(path)


def test_npz_files_are_read_and_pickles_in_them_are_not(tmp_path):
    path = str(tmp_path / "file.npz")
    write_file(path, ARRAYS)
    check_arrays(read_file(path))
    assert os.listdir(tmp_path) == ["file.npz"]
    np.savez(path, a=np.array([{}], object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        read_file(path)


def test_safetensors_are_written_and_read_and_are_the_library_s(tmp_path):
    path = str(tmp_path / "file.safetensors")
    write_file(path, ARRAYS)
    check_arrays(read_file(path))
    check_arrays(safetensors.numpy.load_file(path))
    assert os.listdir(tmp_path) == ["file.safetensors"]
    whole = (tmp_path / "file.safetensors").read_bytes()
    for length in (9, 40, len(whole) - 1):
        (tmp_path / "file.safetensors").write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"file\.safetensors is .*checkpoint"):
            read_file(path)


def test_safetensors_of_bfloat16_are_read(tmp_path):
    path = str(tmp_path / "file.safetensors")
    array = np.arange(6).astype("bfloat16").reshape(2, 3)
    safetensors.numpy.save_file({"weight": array}, path)
    np.testing.assert_array_equal(read_file(path)["weight"].astype("float32"), array)


def test_other_endings_and_missing_files_are_told(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"must end in \.npz, \.safetensors or \.pth\. Received: a\.h5",
    ):
        write_file("a.h5", ARRAYS)
    with pytest.raises(ValueError, match=r"^No file .*nowhere\.pth\.$"):
        read_file(tmp_path / "nowhere.pth")


@pytest.fixture
def written(tmp_path):
    """The path of a .pth, and its arrays."""
    path = str(tmp_path / "new" / "file.pth")
    arrays = {"weight": ARRAYS["weight"], "empty": ARRAYS["empty"]}
    write_file(path, arrays)
    return path, arrays


def test_pth_files_are_written_beside_their_place(written):
    path, arrays = written
    assert os.listdir(os.path.dirname(path)) == ["file.pth"]
    content = read_file(path)
    assert list(content) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(content[name], array)


def test_pth_files_are_what_pytorch_reads(written):
    torch = import_beside_tensorflow("torch")
    path, arrays = written
    content = torch.load(path, weights_only=True)
    assert list(content) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(content[name].numpy(), array)
