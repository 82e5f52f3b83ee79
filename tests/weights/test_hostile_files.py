"""Files that say they hold more than they do are refused in words, in little memory."""

import io
import json
import pathlib
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from tests.support.torch_pickles import Call, Storage, write_legacy, write_zip

MEMORY_MB, SECONDS = 200, 2
REBUILD = "torch._utils", "_rebuild_tensor_v2"
# One process reads all, so that TensorFlow is imported once.
READER = """
import json, resource, sys, time
from npid_tf.weights.files import read_file
answers = {}
for path in sys.argv[1:]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    try:
        read_file(path)
        answer = ""
    except ValueError as error:
        answer = str(error)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    answers[path] = [answer, used >> 10, time.process_time() - began]
print(json.dumps(answers))
"""


def zipped(members, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def npy(shape, body=b"", dtype="<f4"):
    header = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


def torch_zip(data):
    return zipped({"a/data.pkl": data, "a/byteorder": "little"})


def safetensors(**tensor):
    header = json.dumps({"a": {"dtype": "F32", **tensor}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(4)


def by(write, content, path):
    write(path, content)
    return path.read_bytes()


def hostile_files(path):
    """{name: bytes}; path: where one may be written."""
    few, many = np.zeros(7, "float32"), Storage(np.zeros(7, "float32"), 2**28)
    tensor = {"a": Call(*REBUILD, many, 0, (2**28,), (1,))}
    repeated = Call(*REBUILD, Storage(few), 0, (2**40,), (0,))
    several = [Storage(np.zeros(200, "float32"), 250) for _ in range(400)]
    remembered = b"\x80\x02]r" + struct.pack("<I", 2**31 - 1) + b"."
    return {
        "memo_zip": torch_zip(remembered),
        "memo_legacy": remembered,
        "text_memo": torch_zip(b"]p999999999\n."),
        "bytes": torch_zip(b"\x80\x04\x8e" + struct.pack("<Q", 2**33) + b"."),
        "bytearray": torch_zip(b"\x80\x05\x96" + struct.pack("<Q", 2**33) + b"."),
        "text": b"\x80\x02X" + struct.pack("<I", 2**32 - 1) + b".",
        "storage_zip": by(write_zip, tensor, path),
        "storage_legacy": by(write_legacy, tensor, path),
        "storages_legacy": by(
            write_legacy,
            [Call(*REBUILD, each, 0, (250,), (1,)) for each in several],
            path,
        )[:20_000],
        "strides_zip": by(write_zip, {"a": repeated}, path),
        "strides_legacy": by(write_legacy, {"a": repeated}, path),
        "npz_shape": zipped({"a.npy": npy((2**40,), b"1234")}),
        "npz_sides": zipped({"a.npy": npy((2**31, 2**31), b"1234")}),
        "npz_header": zipped({"a.npy": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{"}),
        "npz_bomb": zipped(
            {"a.npy": npy((2**26,), bytes(2**28))}, zipfile.ZIP_DEFLATED
        ),
        "pickle_bomb": zipped({"a/data.pkl": bytes(2**28)}, zipfile.ZIP_DEFLATED),
        "safetensors_header": struct.pack("<Q", 2**40) + b"{}",
        "safetensors_long_header": struct.pack("<Q", 90_000_000) + b"{}",
        "safetensors_shape": safetensors(shape=[2**40], data_offsets=[0, 2**42]),
        "safetensors_offsets": safetensors(shape=[1], data_offsets=[2**40, 2**40 + 4]),
        "safetensors_deep": struct.pack("<Q", 10**5) + b'{"a":' + b"[" * (10**5 - 5),
        "nothing": b"",
        "deep": torch_zip(b"(" * 10**5 + b"."),
    }


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """{name: [message, MB, seconds of the processor]} of each hostile file."""
    folder = tmp_path_factory.mktemp("hostile")
    for name, content in hostile_files(folder / "written").items():
        (folder / f"{name}.pth").write_bytes(content)
    paths = [str(path) for path in sorted(folder.glob("*.pth"))]
    root = str(pathlib.Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, "-c", READER, *paths],
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answers = json.loads(done.stdout.splitlines()[-1])
    return {pathlib.Path(path).stem: answer for path, answer in answers.items()}


def test_lengths_are_not_believed_before_they_are_checked(answers):
    for name, (message, megabytes, seconds) in answers.items():
        assert "checkpoint of PyTorch" in message, name
        assert len(message) < 1000, name
        assert megabytes < MEMORY_MB, (name, megabytes)
        assert seconds < SECONDS, (name, seconds)


def test_what_is_honest_is_still_read(tmp_path):
    from npid_tf.weights.files import read_file

    base = np.arange(6, dtype="float32").reshape(2, 3)
    content = {f"w{i}": base + i for i in range(300)}  # More than 256 memo entries.
    for write in (write_zip, write_legacy):
        write(tmp_path / "file.pth", content)
        found = read_file(tmp_path / "file.pth")
        assert all((found[name] == content[name]).all() for name in content)
    np.savez_compressed(tmp_path / "file.npz", a=np.zeros([1000, 1000]))
    assert read_file(tmp_path / "file.npz")["a"].shape == (1000, 1000)
