"""New versions and indexes while requests come, and what is refused meanwhile."""

import asyncio
import dataclasses
import json
import os
import shutil

import numpy as np
import pytest

from npid_tf.search.live.index import LiveIndex
from npid_tf.server.index_source import LocalIndexSource
from npid_tf.server.limits import Limits, RequestError
from npid_tf.server.metrics import Metrics
from npid_tf.server.service import Service


@pytest.fixture
def export_dir(exported, tmp_path):
    """An export without `neighbors`, which takes as long to load as the encoder."""
    directory = tmp_path / "export"
    left_out = shutil.ignore_patterns("neighbors")
    shutil.copytree(exported.export_dir, directory, ignore=left_out)
    return directory


def run(export_dir, use, **settings):
    """What `use(service)` returns, of a service that looks for new versions often."""

    async def main():
        limits = Limits(seconds=20)
        index = LocalIndexSource(str(export_dir), lambda data: None)
        service = Service(
            str(export_dir), index, limits, Metrics(), poll_seconds=0.02, **settings
        )
        await service.start()
        try:
            return await use(service)
        finally:
            await service.close()

    return asyncio.run(asyncio.wait_for(main(), 120))


async def until(condition):
    while not condition():
        await asyncio.sleep(0.02)


def export_anew(export_dir, index=True):
    """What an export of another encoder leaves, with an index of it or without."""
    partial = export_dir / ".partial"
    shutil.copytree(export_dir / "encoder" / "1", partial / "encoder")
    shutil.copytree(export_dir / "index", partial / "index")
    for path in ("encoder/assets.extra/npid_tf.json", "index/manifest.json"):
        text = json.loads((partial / path).read_text())
        (partial / path).write_text(json.dumps({**text, "encoder_hash": "another"}))
    os.rename(partial / "encoder", export_dir / "encoder" / "2")
    if index:
        os.rename(export_dir / "index", partial / "old")
        os.rename(partial / "index", export_dir / "index")
    shutil.rmtree(partial)


def test_a_new_export_takes_over_and_no_request_fails(export_dir, digit):
    async def use(service):
        versions, done = set(), False

        async def search():
            while not done:
                answer = await service.search([digit(7)], [], 3, -1.0)
                assert answer["results"][0][0]["id"] == "7"
                versions.add(answer["encoder_version"])

        async def predict():
            inputs = {"image_bytes": np.array([digit(7)], object)}
            while not done:
                encoder = service.models.get("encoder")
                outputs = await service.predict(encoder, "serving_bytes", inputs)
                assert outputs["embeddings"].shape == (1, 16)

        clients = [asyncio.create_task(ask()) for ask in (search, search, predict)]
        await until(lambda: 1 in versions)
        await asyncio.to_thread(export_anew, export_dir)
        await until(lambda: 2 in versions or any(c.done() for c in clients))
        done = True
        await asyncio.gather(*clients)
        return versions

    assert run(export_dir, use) == {1, 2}


def test_an_index_of_another_encoder_is_refused(export_dir, digit):
    export_anew(export_dir, index=False)
    shutil.rmtree(export_dir / "encoder" / "1")

    async def use(service):
        assert service.models.get("encoder").version == 2
        for refused in (
            service.search([digit(7)], [], 3, -1.0),
            service.upsert(["x"], [digit(7)], [None]),
        ):
            with pytest.raises(RequestError, match="another encoder than version 2"):
                await refused
        inputs = {"image_bytes": np.array([digit(7)], object)}
        servable = service.models.get("encoder")
        outputs = await service.predict(servable, "serving_bytes", inputs)
        assert outputs["embeddings"].shape == (1, 16)

    run(export_dir, use)


def test_an_export_without_its_index_yet_leaves_the_former_in_service(
    export_dir, digit
):
    async def use(service):
        export_anew(export_dir, index=False)
        for _ in range(5):  # It looks for new versions meanwhile.
            await service._refresh()
            answer = await service.search([digit(7)], [], 3, -1.0)
            assert answer["results"][0][0]["id"] == "7"
            assert answer["encoder_version"] == 1

    async def look(service):
        answer = await service.search([digit(7)], [], 3, -1.0)
        assert answer["encoder_version"] == 1

    run(export_dir, use)
    run(export_dir, look)  # One that starts now serves it too.


def test_a_service_takes_changes_when_the_one_before_has_ended(
    export_dir, digit, noise
):
    async def use(service):
        assert service.read_only()
        answer = await service.search([digit(7)], [], 3, -1.0)
        assert answer["results"][0][0]["id"] == "7"
        with pytest.raises(RequestError) as refused:
            await service.delete("8")
        assert refused.value.status == 403
        before.upsert(["new"], before.embeddings(["9"]))
        answer = await service.search([], ["new"], 3, -1.0)
        assert {"new", "9"} <= {item["id"] for item in answer["results"][0]}
        before.close()
        await until(lambda: not service.read_only())
        await service.upsert(["x"], [noise], [None])
        await service.delete("new")

    before = LiveIndex(str(export_dir / "index"))
    run(export_dir, use)
    index = LiveIndex(str(export_dir / "index"))
    assert "x" in index and "new" not in index
    index.close()


def test_a_changed_index_is_not_replaced_in_silence(export_dir, digit):
    async def use(service):
        await service.upsert(["x"], [digit(7)], [None])
        export_anew(export_dir)
        await until(lambda: service.models.get("encoder").version == 2)
        with pytest.raises(RequestError, match="changes to an earlier export"):
            await service.search([digit(7)], [], 3, -1.0)

    run(export_dir, use)


def test_changes_outlive_the_service(export_dir, noise):
    async def change(service):
        await service.upsert(["x"], [noise], ["new"])
        await service.delete("8")

    async def look(service):
        answer = await service.search([noise], ["x"], 256, -1.0)
        assert answer["results"][0][0]["label"] == "new"
        assert "8" not in {item["id"] for item in answer["results"][1]}

    run(export_dir, change)
    run(export_dir, look)


def test_images_of_several_sizes_and_more_than_a_request_may_hold(export_dir, digit):
    async def use(service):
        servable = service.models.get("encoder")
        images = [np.full([1, size, 8, 3], 90, np.uint8) for size in (8, 9, 8)]
        asking = [
            service.predict(servable, "serving_default", {"images": value})
            for value in images
        ]
        first, _, last = await asyncio.gather(*asking)
        np.testing.assert_allclose(first["embeddings"], last["embeddings"], atol=1e-6)
        service.limits = dataclasses.replace(service.limits, images=2)
        with pytest.raises(RequestError, match=r"1 to 2 images\. Received: 3"):
            await service.search([digit(1)], ["2", "3"], 3, -1.0)

    run(export_dir, use, batch_delay=0.1)


def test_without_an_encoder_it_does_not_start(tmp_path):
    async def use(service):
        raise AssertionError

    with pytest.raises(ValueError, match=r"No encoder in .* Make one with"):
        run(tmp_path, use)
