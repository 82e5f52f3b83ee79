"""The workflows of .github/ run what the Makefile has, on the Pythons of pyproject."""

import pathlib
import re
import tomllib

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
WORKFLOWS = sorted(REPOSITORY.glob(".github/workflows/*.yml"))
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


def targets():
    """The Makefile's targets that are not files."""
    makefile = (REPOSITORY / "Makefile").read_text()
    return set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split())


def jobs(path):
    yaml = pytest.importorskip("yaml", reason="pyyaml is not installed")
    return yaml.safe_load(path.read_text())["jobs"]


def made(text):
    """The targets of the `make` commands in a script."""
    return set(re.findall(r"^make ([\w-]+)", text, re.MULTILINE))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_step_makes_a_target_that_there_is(path):
    for job in jobs(path).values():
        steps = job["steps"]
        assert all("uses" in step or "run" in step for step in steps)
        assert set().union(*(made(step.get("run", "")) for step in steps)) <= targets()


def test_lint_tests_docs_and_the_wheel_are_checked():
    every = [
        step
        for path in WORKFLOWS
        for job in jobs(path).values()
        for step in job["steps"]
    ]
    checked = set().union(*(made(step.get("run", "")) for step in every))
    assert checked >= {"lint", "test", "test-benchmarks", "test-docs", "wheel"}
    landing = made((REPOSITORY / ".ci" / "run").read_text())
    assert landing <= checked


def test_the_tests_run_on_every_python_that_is_promised():
    [workflow] = [path for path in WORKFLOWS if path.name == "tests.yml"]
    tested = jobs(workflow)["tests"]["strategy"]["matrix"]["python"]
    promised = [
        each.removeprefix("Programming Language :: Python :: ")
        for each in PROJECT["classifiers"]
        if each.startswith("Programming Language :: Python :: ")
    ]
    assert tested == promised
    lowest, highest = re.fullmatch(
        r">=3\.(\d+),<3\.(\d+)", PROJECT["requires-python"]
    ).groups()
    assert promised == [f"3.{minor}" for minor in range(int(lowest), int(highest))]


def test_the_addons_stop_where_the_matrix_says():
    [addons] = PROJECT["optional-dependencies"]["addons"]
    assert addons.endswith("python_version < '3.12'")


def test_the_hooks_are_those_of_lint():
    yaml = pytest.importorskip("yaml", reason="pyyaml is not installed")
    config = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())
    hooks = {
        hook["id"]: repo["rev"] for repo in config["repos"] for hook in repo["hooks"]
    }
    assert {"ruff-check", "ruff-format", "codespell", "end-of-file-fixer"} <= set(hooks)
    extra = PROJECT["optional-dependencies"]["test"]
    for name, hook in (("ruff", "ruff-check"), ("codespell", "codespell")):
        [asked] = [each for each in extra if each.startswith(name)]
        assert hooks[hook].startswith("v" + asked.split("==")[1].removesuffix("*"))
