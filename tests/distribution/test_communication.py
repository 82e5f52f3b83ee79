"""What a step of the instance classifier sends does not grow with the images."""

import json
import pathlib

import pytest

from tests.support import programs

COMMUNICATION = pathlib.Path(__file__).parent.joinpath("programs", "communication.py")
NUM_REPLICAS, DIM, NUM_NEIGHBORS, PER_DEVICE, PIXELS = 4, 16, 5, 3, 6

pytestmark = pytest.mark.slow


def test_bytes_are_of_the_size_of_the_batch_whatever_the_images():
    arguments = [COMMUNICATION, NUM_REPLICAS, 0.0, 0.2]
    output = programs.finish(programs.start(arguments))
    plain, smoothed = json.loads(output.splitlines()[-1])
    batch = NUM_REPLICAS * PER_DEVICE
    encoder = 4 * PIXELS * DIM  # Its gradient.
    for few, many in (plain, smoothed):
        assert few == many
        # Embeddings of its images (b d), and of all images (B d) the rows of their own
        # twice and the gradient; smoothing adds the like, and all images' neighbors
        # three times (B K). The rest are a few numbers for every image.
        of_embeddings = 4 * DIM * 4 * (batch + PER_DEVICE)
        of_neighbors = 4 * 3 * NUM_NEIGHBORS * batch
        assert 4 * DIM * 3 * batch < many - encoder
        assert many - encoder <= of_embeddings + of_neighbors + 4 * 12 * batch
    assert plain[0] < smoothed[0]
