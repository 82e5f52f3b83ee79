"""Registers the layers with Keras as soon as Keras is there, and not before.

`keras.saving.load_model` finds classes by the names they were registered with, so ours
must be registered before anyone can call it. But `import npid_tf` should not load
Keras, which takes seconds. So where Keras comes later, this listens for it.
"""

import sys


def when_keras_is_loaded(register):
    """Calls `register` once: now if Keras is loaded, otherwise right after it is."""
    if "keras" in sys.modules:
        register()
    else:
        sys.meta_path.insert(0, _Listener(register))


class _Listener:
    """Finds modules as Python does, and notes when Keras or one of ours was run.

    Where one of our modules imports Keras, `register` must wait for the end of that
    module: it may be one of those that are to be registered.
    """

    def __init__(self, register):
        self._register = register
        self._running = []  # A list: threads may import at the same time.

    def find_spec(self, name, path=None, target=None):
        if name != "keras" and not name.startswith("npid_tf."):
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        specs = (finder.find_spec(name, path, target) for finder in others)
        spec = next((found for found in specs if found is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = self._noted(spec.loader.exec_module)
        return spec

    def _noted(self, exec_module):
        def run(module):
            self._running.append(module)
            try:
                exec_module(module)
            finally:
                self._running.remove(module)
            if not self._running and "keras" in sys.modules and self in sys.meta_path:
                sys.meta_path.remove(self)
                self._register()

        return run
