"""The rows of a bank in files, whatever the number of devices that hold them."""

import dataclasses
import os
import re

import numpy as np
import tensorflow as tf

from npid_tf.banks.rows import ROWS_AT_ONCE
from npid_tf.errors import FileError, UserError

_NAME = re.compile(r"([a-z_]+)-(\d{12})\.npy")


def write_bank(bank, directory):
    """Writes the rows that this process is to write, as `NAME-FIRST.npy`, to the disk.

    Rows that several processes hold are written by the one with the first replica.
    Raises OSError.
    """
    for name, rows in bank.all_rows().items():
        for first, end, variable in rows.parts_to_write():
            path = os.path.join(directory, f"{name}-{first:012d}.npy")
            _write_rows(path, variable, end - first)


def _write_rows(path, variable, count):
    # Not through mapped memory: a full disk would kill the process without a word.
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(
            file,
            {
                "descr": np.lib.format.dtype_to_descr(_dtype_in_file(variable.dtype)),
                "fortran_order": False,
                "shape": (count, variable.shape[1]),
            },
        )
        for start in range(0, count, ROWS_AT_ONCE):
            stop = min(start + ROWS_AT_ONCE, count)
            rows = tf.gather(variable, tf.range(start, stop)).numpy()
            file.write(np.ascontiguousarray(rows).view(_dtype_in_file(variable.dtype)))
        file.flush()
        os.fsync(file.fileno())


def _dtype_in_file(dtype):
    """NumPy's dtype for rows that a weight keeps as `dtype`, a tf.DType."""
    # NumPy's files know no bfloat16: its bits are kept as integers. And neighbors were
    # int32 before they were kept on GPUs.
    known = {tf.bfloat16: np.uint16, tf.uint32: np.int32}
    return np.dtype(known.get(dtype, dtype.as_numpy_dtype))


def other_weights(bank):
    """Weights of a bank without rows, alike on all devices: a dict by their names."""
    with_rows = {id(rows.variable) for rows in bank.all_rows().values()}
    return {w.name: w for w in bank.weights if id(w) not in with_rows}


@dataclasses.dataclass(frozen=True)
class RowsFile:
    """A file of rows: those from `first` on, of a shape [count, columns]."""

    path: str
    first: int
    count: int
    columns: int
    dtype: np.dtype
    offset: int  # of the first row, in bytes

    @property
    def end(self):
        return self.first + self.count

    def blocks(self):
        """(number of the first row, rows), block by block; uint16 is bfloat16."""
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            for start in range(0, self.count, ROWS_AT_ONCE):
                count = min(ROWS_AT_ONCE, self.count - start) * self.columns
                rows = np.fromfile(file, self.dtype, count)
                if len(rows) < count:
                    raise FileError(f"{self.path} ends too early.")
                if self.dtype == np.uint16:
                    rows = rows.view(tf.bfloat16.as_numpy_dtype)
                yield self.first + start, rows.reshape(-1, self.columns)


def list_rows(directory, num_instances):
    """The files of rows in a folder: {name of the weight: [RowsFile]}, in order.

    Raises FileError where a file is no file of rows, has more or fewer bytes than it
    says, or where those of a weight are not all of its rows, each once.
    """
    files = {}
    for name in sorted(os.listdir(directory)):
        if name.endswith(".npy"):
            match = _NAME.fullmatch(name)
            if match is None:
                raise FileError(f"{os.path.join(directory, name)} is no file of rows.")
            file = _read_header(os.path.join(directory, name), int(match[2]))
            files.setdefault(match[1], []).append(file)
    if "rows" not in files:
        raise FileError(f"{directory} has no files of rows, rows-*.npy.")
    for parts in files.values():
        _check_cover(parts, num_instances)
    return files


def _read_header(path, first):
    try:
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            if version != (1, 0):
                raise ValueError(f"version {version}")
            shape, in_columns, dtype = np.lib.format.read_array_header_1_0(file)
            offset = file.tell()
    except ValueError as error:
        raise FileError(f"{path} is damaged: {error}.") from error
    if len(shape) != 2 or in_columns or dtype.hasobject or min(shape) < 1:
        raise FileError(f"{path} is no file of rows: {shape} {dtype}.")
    expected, size = (
        offset + shape[0] * shape[1] * dtype.itemsize,
        os.path.getsize(path),
    )
    if size != expected:
        raise FileError(f"{path} has {size:,} bytes. Expected: {expected:,}.")
    return RowsFile(path, first, *shape, dtype, offset)


def _check_cover(parts, num_instances):
    end = 0
    for part in parts:
        if part.first != end:
            raise FileError(
                f"{part.path} starts at row {part.first:,}, the files before it end at "
                f"{end:,}: a file is missing, or not whole."
            )
        if (part.columns, part.dtype) != (parts[0].columns, parts[0].dtype):
            raise FileError(f"{part.path} is of another shape than {parts[0].path}.")
        end = part.end
    if end != num_instances:
        raise FileError(
            f"{parts[-1].path} ends at row {end:,}. Expected: {num_instances:,}."
        )


def read_bank(bank, directory, kept=None):
    """Reads what `write_bank` wrote, every replica the rows that it holds.

    kept: bool [rows written], those to read where some have no image any more: they
        become the first ones of the bank, in their order. None: all.

    Raises UserError, before a row is read, where there are not all rows of all weights,
    each once (FileError), or where they are of another bank.
    """
    if kept is None:
        kept = np.ones(bank.num_instances, bool)
    expected, files = bank.all_rows(), list_rows(directory, len(kept))
    if files.keys() != expected.keys():
        raise UserError(
            f"{directory} is of another bank: it has {', '.join(sorted(files))} for "
            f"each image. Expected: {', '.join(sorted(expected))}."
        )
    for name, rows in expected.items():
        part, dtype = files[name][0], _dtype_in_file(tf.as_dtype(rows.dtype))
        if part.columns != rows.columns or not _fits(part.dtype, dtype):
            raise UserError(
                f"{part.path} is of another bank: it has {part.columns} numbers of "
                f"{part.dtype} a row. Expected: {rows.columns} of {dtype}."
            )
    for name, rows in expected.items():
        place = 0
        for part in files[name]:
            for first, block in part.blocks():
                block = block[kept[first : first + len(block)]]
                rows.write(place, block)
                place += len(block)


def _fits(saved, in_file):
    """Whether rows saved as one type may be read as another: bfloat16 and float32."""
    rounded = {np.dtype(np.float32), np.dtype(np.uint16)}
    return saved == in_file or {saved, in_file} <= rounded
