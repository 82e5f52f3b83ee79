"""What disks and people do to a file: each returns nothing and changes the file."""

import os

import numpy as np


def remove(path, rng):
    os.remove(path)


def empty(path, rng):
    os.truncate(path, 0)


def truncate(path, rng):
    os.truncate(path, int(rng.integers(1, os.path.getsize(path))))


def flip_a_bit(path, rng):
    data = bytearray(path.read_bytes())
    data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)


def flip_a_late_bit(path, rng):
    data = bytearray(path.read_bytes())
    data[rng.integers(len(data) // 2, len(data))] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)


def fill_with_zeros(path, rng):
    path.write_bytes(bytes(os.path.getsize(path)))


def zero_the_second_half(path, rng):
    half = os.path.getsize(path) // 2
    path.write_bytes(path.read_bytes()[:half] + bytes(os.path.getsize(path) - half))


def lengthen(path, rng):
    """A row more, where these are rows."""
    if path.suffix == ".npy":
        rows = np.load(path)
        np.save(path, np.concatenate([rows, rows[:1]]))
    else:
        path.write_bytes(path.read_bytes() + b"\n")


def shorten(path, rng):
    """A row less, where these are rows."""
    if path.suffix == ".npy":
        np.save(path, np.load(path)[:-1])
    else:
        path.write_bytes(path.read_bytes()[:-1])


def become_a_folder(path, rng):
    os.remove(path)
    os.mkdir(path)


DAMAGES = [
    remove,
    empty,
    truncate,
    flip_a_bit,
    flip_a_late_bit,
    fill_with_zeros,
    zero_the_second_half,
    lengthen,
    shorten,
    become_a_folder,
]
