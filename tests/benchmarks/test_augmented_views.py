"""The vectors that the search benchmark indexes."""

import dataclasses

import numpy as np
import pytest

from augmented_views import load_or_embed
from npid_tf.command_line.given import flag_lines
from npid_tf.encoders.embed import embed
from npid_tf.runs import build, data


@pytest.fixture
def workdir(trained_workdir, tmp_path):
    """The tiny run, without augmentation, with images held out in its flags."""
    (tmp_path / "checkpoints").symlink_to(f"{trained_workdir.workdir}/checkpoints")
    config = dataclasses.replace(
        trained_workdir, workdir="moved since", eval_split="train[256:300]"
    )
    lines = "\n".join(flag_lines(config))
    (tmp_path / "flags.cfg").write_text(lines)
    return str(tmp_path)


def test_every_pass_holds_every_image(workdir, trained_workdir, tmp_path):
    cache = str(tmp_path / "views.npz")
    vectors, queries = load_or_embed(workdir, 600, cache)
    assert vectors.shape == (600, 16)
    source = data.build_source(trained_workdir)
    images = data.build_eval_dataset(trained_workdir, source)
    encoder = build.load_trained(trained_workdir, source).encoder
    expected = embed(encoder, images, 256)
    # Batches of 250 leave 6 of the 256 out of a pass, others in every pass.
    passes = [vectors[:250], vectors[250:500]]
    for views in passes:
        distances = np.linalg.norm(views[:, None] - expected, axis=2)
        assert distances.min(axis=1).max() < 1e-4
        assert len(set(distances.argmin(axis=1))) == 250
    assert not np.array_equal(*passes)
    assert queries.shape == (44, 16)
    again, _ = load_or_embed("no such workdir", 100, cache)
    np.testing.assert_array_equal(again, vectors[:100])


def test_a_cache_of_fewer_vectors_is_refused(tmp_path):
    cache = tmp_path / "views.npz"
    np.savez(cache, vectors=np.eye(4), queries=np.eye(4))
    with pytest.raises(ValueError, match=r"holds 4 vectors. Received: num_vectors=5"):
        load_or_embed("no such workdir", 5, str(cache))
