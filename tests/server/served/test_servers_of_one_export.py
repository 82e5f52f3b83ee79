"""Several servers of one export: one takes changes, any number search beside it."""

import os
import shutil
import subprocess
import time

import pytest

from npid_tf.client import Client
from npid_tf.server.serve import ServeFlags


@pytest.fixture
def start(exported, start_server, tmp_path):
    """(**flags) -> a Client of a server of one copy of the export, and the server."""
    shutil.copytree(exported.export_dir, tmp_path / "export")

    def start_one(**flags):
        flags = {"export_dir": str(tmp_path / "export"), **flags}
        config = ServeFlags(port=0, grpc_port=0, **flags)
        server = start_server(config, poll_seconds=0.05)
        return Client(f"http://127.0.0.1:{server.port}"), server

    return start_one


def is_read_only(server):
    return server.ask("GET", "/readyz")[1].get("read_only", False)


def nearest(client, image):
    return client.search([image], k=1)["results"][0][0]["id"]


def test_servers_beside_the_one_that_changes_follow_it_and_take_over(start, noise):
    writer, server = start()
    second, second_server = start()
    searcher, searcher_server = start(read_only=True)
    assert [is_read_only(s) for s in (server, second_server, searcher_server)] == [
        False, True, True,
    ]  # fmt: skip
    writer.upsert({"new": noise})
    for client in (second, searcher):
        assert nearest(client, noise) == "new"
        for change in (lambda c=client: c.delete("new"),
                       lambda c=client: c.upsert({"a": noise})):  # fmt: skip
            with pytest.raises(ValueError, match=r"403: .*read-only"):
                change()
    server.stop()
    server.thread.join(60)
    for _ in range(1000):
        if not is_read_only(second_server):
            break
        time.sleep(0.05)
    second.delete("new")
    assert nearest(searcher, noise) == nearest(second, noise) != "new"
    assert is_read_only(searcher_server)


def test_a_folder_that_may_not_be_written_is_searched(start, noise, tmp_path):
    folder = tmp_path / "mounted"
    folder.mkdir()
    mount = ["mount", "--bind", str(tmp_path / "export"), str(folder)]
    if os.getuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("Only root may mount, and to root no folder is read-only.")
    try:
        remount = ["mount", "-o", "remount,bind,ro", str(folder)]
        subprocess.run(remount, check=True)
        client, server = start(export_dir=str(folder))
        assert is_read_only(server)
        assert nearest(client, noise)
        with pytest.raises(ValueError, match=r"403: .*read-only"):
            client.upsert({"new": noise})
        server.stop()
        server.thread.join(60)
    finally:
        # Lazily: a model's file may still be open.
        subprocess.run(["umount", "-l", str(folder)], check=True)
