"""The files of export/ and the Dockerfile, checked without Docker or a cluster."""

import dataclasses
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sysconfig
import tomllib
import venv

import pytest

from npid_tf.command_line.given import parse
from npid_tf.runs.train_flags import TrainFlags
from npid_tf.server.serve import ServeFlags

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
EXPORT = REPOSITORY / "export"


def load_yaml(name):
    """The documents of a file in export/: a list."""
    yaml = pytest.importorskip("yaml", reason="pyyaml is not installed")
    return list(yaml.safe_load_all((EXPORT / name).read_text()))


def docker_steps():
    """(instruction, value) of each step of the Dockerfile."""
    parse = pytest.importorskip("dockerfile_parse", reason="dockerfile-parse missing")
    parser = parse.DockerfileParser(str(REPOSITORY / "Dockerfile"), cache_content=True)
    return [
        (step["instruction"], step["value"])
        for step in parser.structure
        if step["instruction"] != "COMMENT"
    ]


def compose_config(name, **environment):
    """What docker-compose makes of a file, run from the repository: a dict."""
    yaml = pytest.importorskip("yaml", reason="pyyaml is not installed")
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("docker-compose is not installed: its reading of the file is not")
    done = subprocess.run(
        [program, "-f", f"export/{name}", "config"],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return yaml.safe_load(done.stdout)


def programs():
    """(file, command) of each program of the package that a file in export/ starts."""
    for name in ("compose.yaml", "workers.yaml"):
        for service in load_yaml(name)[0]["services"].values():
            if "npid_tf" in service["image"]:
                yield name, [str(part) for part in service["command"]]
    [job] = [each for each in load_yaml("kubernetes.yaml") if each["kind"] == "Job"]
    [container] = job["spec"]["template"]["spec"]["containers"]
    script = container["args"][0].replace("\\\n", " ")
    yield "kubernetes.yaml", re.search(r"exec (.*)", script)[1].split()


def test_what_the_image_is_made_of_exists_and_is_not_ignored():
    steps = docker_steps()
    assert steps[0][0] == "FROM"
    copied = [value.split()[:-1] for kind, value in steps if kind == "COPY"]
    sources = {source for group in copied for source in group}
    ignored = (REPOSITORY / ".dockerignore").read_text().split()
    for source in sources:
        assert (REPOSITORY / source).exists()
        assert f"!{source}" in ignored
    # What an installation reads.
    needed = {"pyproject.toml", "setup.py", "README.md", "npid_tf", "configs"}
    assert needed <= sources


def test_the_image_installs_extras_that_there_are():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    text = (REPOSITORY / "Dockerfile").read_text()
    chosen = re.findall(r"EXTRAS=([\w,]+)", text)
    assert {"serving", "serving,gpu"} == set(chosen)
    assert {"serving", "gpu"} <= set(project["optional-dependencies"])


def test_all_files_start_programs_in_the_one_image():
    assert {name for name, _ in programs()} == {
        "compose.yaml",
        "workers.yaml",
        "kubernetes.yaml",
    }
    for name in ("compose.yaml", "workers.yaml"):
        for service in load_yaml(name)[0]["services"].values():
            if "build" in service:
                assert (EXPORT / service["build"] / "Dockerfile").is_file()
                assert service["image"] == "npid_tf"


@pytest.mark.parametrize("number", range(4))
def test_programs_take_the_flags_that_they_are_given(number, monkeypatch):
    monkeypatch.chdir(REPOSITORY)  # As in the image, configs/ is below.
    name, command = list(programs())[number]
    assert command[:2] == ["python", "-m"], name
    assert command[2] in ("npid_tf.train", "npid_tf.serve"), name
    kind = {"npid_tf.train": TrainFlags, "npid_tf.serve": ServeFlags}[command[2]]
    parse(command[3:], dataclasses.fields(kind)).flags(kind)


def test_nothing_is_installed_from_where_nothing_can_be_written():
    for name in ("compose.yaml", "workers.yaml", "kubernetes.yaml"):
        assert "pip install" not in (EXPORT / name).read_text().split("services:")[-1]


@pytest.mark.parametrize("folder", [None, "/data/export", "./given"])
def test_compose_mounts_the_export_and_takes_it_for_no_volume(folder):
    environment = {} if folder is None else {"EXPORT_DIR": folder}
    config = compose_config("compose.yaml", **environment)
    assert not config.get("volumes")
    expected = EXPORT / (folder or "../runs/demo/export")
    for service in config["services"].values():
        mount = service["volumes"][0]
        assert (mount["type"], mount["target"]) == ("bind", "/models")
        assert os.path.isabs(mount["source"])
        assert mount["source"] == os.path.normpath(expected)


def test_compose_reads_the_workers():
    services = compose_config("workers.yaml")["services"]
    clusters = []
    for index, name in enumerate(["worker0", "worker1"]):
        config = json.loads(services[name]["environment"]["TF_CONFIG"])
        assert config["task"] == {"type": "worker", "index": index}
        clusters.append(config["cluster"])
        assert services[name]["build"]["context"] == str(REPOSITORY)
    assert clusters == [{"worker": ["worker0:2222", "worker1:2222"]}] * 2


def test_kubernetes_knows_all_that_its_file_says():
    validate = pytest.importorskip(
        "kubernetes_validate", reason="kubernetes-validate is not installed"
    )
    for document in load_yaml("kubernetes.yaml"):
        validate.validate(document, "1.31", strict=True)


def test_kubernetes_starts_what_was_stopped_and_not_what_cannot_run():
    [job] = [each for each in load_yaml("kubernetes.yaml") if each["kind"] == "Job"]
    actions = {
        value: rule["action"]
        for rule in job["spec"]["podFailurePolicy"]["rules"]
        for value in rule.get("onExitCodes", {}).get("values", ["pod"])
    }
    # Exit statuses: stopped by SIGTERM after saving, and a mistake of the user's.
    assert actions == {143: "Ignore", 2: "FailJob", "pod": "Ignore"}
    # Without it the schema takes the policy, but the server refuses it.
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    assert job["spec"]["backoffLimit"] > 0


def test_the_stock_server_reads_its_list_of_models():
    config = pytest.importorskip(
        "tensorflow_serving.config.model_server_config_pb2",
        reason="The extra is missing: npid_tf[serving]",
    )
    from google.protobuf import text_format

    models = text_format.Parse(
        (EXPORT / "models.config").read_text(), config.ModelServerConfig()
    )
    names = {each.name: each.base_path for each in models.model_config_list.config}
    assert names == {"encoder": "/models/encoder", "neighbors": "/models/neighbors"}


@pytest.mark.slow
def test_the_steps_of_the_image_install_what_the_workers_run(tmp_path):
    """As the Dockerfile's, in an environment that finds this one's dependencies."""
    source, home = tmp_path / "src", tmp_path / "npid_tf"
    source.mkdir()
    for kind, value in docker_steps():
        for name in value.split()[:-1] if kind == "COPY" else ():
            copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy
            if not (source / name).exists():
                copy(REPOSITORY / name, source / name)
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    python = str(environment / "bin" / "python")
    [site] = environment.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
    [install] = [value for kind, value in docker_steps() if kind == "RUN"]
    arguments = install.replace("${EXTRAS}", "serving").replace('"', "").split()
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    assert arguments[0] == "pip"
    subprocess.run(
        [python, "-m", *arguments], cwd=source, env=variables, check=True, timeout=900
    )
    configs = environment / "share" / "npid_tf" / "configs"
    assert sorted(os.listdir(configs)) == sorted(os.listdir(REPOSITORY / "configs"))
    shutil.copytree(configs, home / "configs")
    package = site / "npid_tf"
    assert {path.name for path in (package / "configs").glob("*.cfg")} == {
        path.name for path in (REPOSITORY / "configs").glob("*.cfg")
    }
    # Pages, templates and py.typed too.
    for path in (source / "npid_tf").rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            assert (package / path.relative_to(source / "npid_tf")).is_file(), path
    shutil.rmtree(source)  # What runs is what was installed.
    ports = [socket.create_server(("localhost", 0)) for _ in range(2)]
    addresses = [f"localhost:{port.getsockname()[1]}" for port in ports]
    for port in ports:
        port.close()
    command = next(c for name, c in programs() if name == "workers.yaml")
    command = [part.replace("/runs", str(tmp_path / "runs")) for part in command]
    small = ["--split=train[:128]", "--epochs=1", "--width=4", "--image_size=8"]
    workers = [
        subprocess.Popen(
            [python, *command[1:], *small, "--batch_size=32"],
            cwd=home,
            env={
                **variables,
                "TF_CONFIG": json.dumps(
                    {
                        "cluster": {"worker": addresses},
                        "task": {"type": "worker", "index": index},
                    }
                ),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(2)
    ]
    outputs = [worker.communicate(timeout=900)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], outputs
    assert (tmp_path / "runs" / "digits" / "metrics.jsonl").is_file()
