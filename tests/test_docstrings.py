"""Each public name says what it takes and gives, and shows it: the examples are run."""

import doctest
import inspect

import numpy as np
import pytest

import npid_tf
import npid_tf.search

PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (npid_tf, npid_tf.search)
    for name in module.__all__
    if name != "__version__"
}
# Made by the package, not by its users: their documentation is what they are.
NOT_CALLED = {"npid_tf.search.Neighbors", "npid_tf.search.BuiltIndex"}


def faults(name, value):
    """What is missing in the documentation of a public name: a list of words."""
    text = inspect.getdoc(value) or ""
    found = []
    first = text.split("\n\n")[0]
    if not first or not first.rstrip().endswith((".", ":")):
        found.append("one sentence at the beginning")
    if name not in NOT_CALLED and ">>> " not in text:
        found.append("an example")
    for function in [value] if inspect.isfunction(value) else methods(value):
        found += missing_annotations(function)
    return found


def methods(kind):
    """A class's own constructor, and its methods that users call.

    Those that override Keras's are documented there, with their types.
    """
    others = [base for base in kind.__mro__ if base.__module__[:7] != "npid_tf"]
    for name, function in vars(kind).items():
        if isinstance(function, property):
            function = function.fget
        is_public = name[0] != "_" and not any(name in vars(base) for base in others)
        if inspect.isfunction(function) and (name == "__init__" or is_public):
            yield function


def missing_annotations(function):
    signature = inspect.signature(function)
    for parameter in signature.parameters.values():
        is_told = parameter.annotation is not parameter.empty
        if parameter.name not in ("self", "kwargs") and not is_told:
            yield f"the type of {function.__qualname__}({parameter.name})"
    if function.__name__ != "__init__" and signature.return_annotation is (
        signature.empty
    ):
        yield f"the type that {function.__qualname__} returns"


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_documented_and_annotated(name):
    assert not faults(name, PUBLIC[name])


@pytest.mark.parametrize("name", PUBLIC)
def test_its_example_does_what_it_says(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    value = PUBLIC[name]
    names = {**vars(inspect.getmodule(value)), "np": np, "npid_tf": npid_tf}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in doctest.DocTestFinder(recurse=False).find(value, name, globs=names):
        runner.run(test)
    assert runner.summarize(verbose=False).failed == 0


def undocumented(images, k=3):
    return images


def with_all(images: np.ndarray, k: int = 3) -> np.ndarray:
    """The images.

    >>> with_all(1)
    1
    """
    return images


def test_what_is_missing_is_found():
    assert faults("npid_tf.undocumented", undocumented) == [
        "one sentence at the beginning",
        "an example",
        "the type of undocumented(images)",
        "the type of undocumented(k)",
        "the type that undocumented returns",
    ]
    assert not faults("npid_tf.with_all", with_all)
