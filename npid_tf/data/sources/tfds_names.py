"""What TFDS knows, and has prepared, beside a name that it does not know."""

import difflib
import os
import re

import tensorflow_datasets as tfds


def known_names(name, data_dir):
    """A line that lists versions and configurations of a data set, or similar names."""
    base = re.split("[/:]", name)[0]
    prepared = _prepared(data_dir)
    own = [each for each in prepared if re.split("[/:]", each)[0] == base]
    builders = tfds.list_builders(with_community_datasets=False)
    if base not in builders and not own:
        similar = difflib.get_close_matches(base, [*prepared, *builders], 5)
        told = f" Similar: {', '.join(similar)}." if similar else ""
        if prepared:
            told += f" Prepared: {', '.join(prepared[:10])}."
        return f"See tensorflow.org/datasets/catalog.{told}"
    known = [*own]
    if base in builders:
        builder = tfds.builder_cls(base)
        configs = [config.name for config in builder.BUILDER_CONFIGS[:20]]
        versions = [builder.VERSION, *builder.SUPPORTED_VERSIONS]
        known += [f"{base}/{config}" for config in configs]
        known += [f"{base}:{version}" for version in versions if version is not None]
    return f"Known: {', '.join(dict.fromkeys(known))}."


def _prepared(data_dir):
    """NAME:VERSION and NAME/CONFIG:VERSION of what is in a data_dir."""
    root = os.path.expanduser(data_dir or tfds.core.constants.DATA_DIR)
    found = []
    for directory, folders, files in os.walk(root):
        if "dataset_info.json" in files:
            path, version = os.path.split(os.path.relpath(directory, root))
            found.append(f"{path}:{version}")
        if directory.count(os.sep) - root.rstrip(os.sep).count(os.sep) >= 3:
            folders.clear()
    return sorted(found)
