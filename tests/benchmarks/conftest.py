"""Marks every test in this folder: `make test-benchmarks` runs them."""

import pathlib

import pytest

HERE = pathlib.Path(__file__).parent


def pytest_collection_modifyitems(items):
    for item in items:  # Those of all folders.
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.benchmark)
