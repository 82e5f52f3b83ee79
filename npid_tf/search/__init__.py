"""An index on one machine: no network, no flag reaches this folder.

`python -m npid_tf.search`, a program, is `__main__.py`.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from npid_tf.search.built_index import BuiltIndex, build_index
    from npid_tf.search.neighbors import Neighbors

__all__ = ["BuiltIndex", "Neighbors", "build_index"]
# Imported when they are first used: a live index without ScaNN needs no TensorFlow.
_HOMES = {
    "BuiltIndex": "built_index",
    "Neighbors": "neighbors",
    "build_index": "built_index",
}


if not TYPE_CHECKING:  # An editor would take any name to be there.

    def __getattr__(name):
        if name not in _HOMES:
            raise AttributeError(
                f"module 'npid_tf.search' has no attribute {name!r}. Known: "
                f"{', '.join(__all__)}."
            )
        module = importlib.import_module(f"npid_tf.search.{_HOMES[name]}")
        value = globals()[name] = getattr(module, name)
        return value


def __dir__():
    return sorted({*globals(), *__all__})
