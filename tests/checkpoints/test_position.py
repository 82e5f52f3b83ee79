"""A run goes on with batches of another size: same images, same part of the run."""

import keras
import numpy as np
import pytest

from npid_tf.checkpoints.position import Position, among_other_images, in_batches_of
from npid_tf.data.sources.shipped.digits import load_digits
from npid_tf.distribution.strategies import build_strategy
from npid_tf.errors import UserError
from npid_tf.runs.data import build_train_dataset
from npid_tf.runs.train_flags import TrainFlags
from tests.support.saved_models import build

IMAGES = 160


@pytest.fixture(scope="module")
def model():
    return build("memory_bank")


def at(model, epoch, step, batch_size, recorded=True):
    """The position of a run that had always been of this batch size."""
    steps = epoch * (IMAGES // batch_size) + step
    model.step.assign(steps)
    model.optimizer._iterations.assign(steps)
    return Position(epoch, step, (9.0, 3.0), batch_size if recorded else None)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ((1, 4, 32), 32, (1, 4, 9)),  # as it was
        ((1, 3, 32), 64, (1, 1, 3)),  # 32 images are seen again
        ((1, 4, 32), 16, (1, 8, 18)),
        ((1, 4, 32), 80, (1, 1, 3)),  # 48 images are seen again
        ((1, 4, 32), 64, (2, 0, 4)),  # less than a batch is left: the next epoch
        ((1, 1, 32), 160, (1, 0, 1)),
        ((2, 0, 32), 50, (2, 0, 6)),
    ],
)
def test_images_and_part_of_the_schedule_stay(model, before, now, expected):
    epoch, step, iterations = expected
    position = in_batches_of(now, at(model, *before), IMAGES, model)
    assert (position.epoch, position.step) == (epoch, step)
    assert int(model.optimizer.iterations.numpy()) == iterations
    assert position.step < IMAGES // now  # There are steps left, of any epoch.
    assert int(model.step.numpy()) == before[0] * (IMAGES // before[2]) + before[1]


def test_the_images_left_are_those_not_seen():
    config = TrainFlags(split="train[:160]", image_size=8, epochs=1, batch_size=32)
    source, strategy = load_digits(config.split), build_strategy("one_device")

    def indices(batch_size, step):
        changed = TrainFlags(**{**vars(config), "batch_size": batch_size})
        position = Position(0, step)
        dataset = build_train_dataset(changed, source, position, strategy)
        return np.concatenate([batch for _, batch in dataset]).tolist()

    model = build("memory_bank")
    order = indices(32, 0)
    position = in_batches_of(16, at(model, 0, 3, 32), IMAGES, model)
    assert indices(16, position.step) == order[96:]
    position = in_batches_of(80, at(model, 0, 3, 32), IMAGES, model)
    assert indices(80, position.step) == order[80:]


def test_a_checkpoint_of_before_tells_by_its_steps(model):
    position = in_batches_of(40, at(model, 2, 4, 32, recorded=False), IMAGES, model)
    assert (position.epoch, position.step) == (2, 3)
    position = in_batches_of(32, at(model, 2, 4, 32, recorded=False), IMAGES, model)
    assert (position.epoch, position.step) == (2, 4)


def test_where_nothing_tells_it_is_refused(model):
    with pytest.raises(UserError, match=r"2 steps with --batch_size=80"):
        in_batches_of(80, at(model, 0, 4, 32, recorded=False), IMAGES, model)


def test_gradients_of_batches_that_no_longer_count_are_dropped():
    model = build("memory_bank")
    model.compile(keras.optimizers.SGD(0.1, gradient_accumulation_steps=4))
    optimizer = model.optimizer
    position = at(model, 1, 2, 32)
    optimizer._iterations.assign(7)
    optimizer._accumulated_gradients[0].assign_add(
        np.ones(optimizer._accumulated_gradients[0].shape)
    )
    in_batches_of(16, position, IMAGES, model)
    assert int(optimizer._iterations.numpy()) == 12  # 14, rounded down to updates
    assert not np.any(optimizer._accumulated_gradients[0].numpy())


@pytest.mark.parametrize(
    ("before", "num_now", "expected"),
    [
        ((2, 0, 32), 160, (2, 10)),  # As many images, but others.
        ((2, 0, 32), 320, (2, 20)),
        ((2, 0, 32), 96, (2, 6)),
        ((1, 3, 32), 320, (1, 10)),  # The epoch begins again,
        ((0, 3, 32), 320, (0, 0)),  # the first one as well.
    ],
)
def test_with_other_images_the_part_of_the_schedule_stays(
    model, before, num_now, expected, capsys
):
    saved = at(model, *before)
    position = among_other_images(saved, IMAGES, num_now, 32, model)
    iterations = int(model.optimizer.iterations.numpy())
    assert (position.epoch, iterations) == expected
    assert (position.step, position.loss_tracker) == (0, (0.0, 0.0))
    assert ("begins again" in capsys.readouterr().out) == (before[1] > 0)


def test_with_other_images_and_batches_the_part_of_the_schedule_stays(model):
    saved = at(model, 2, 0, 16)
    position = among_other_images(saved, IMAGES, 320, 80, model)
    assert in_batches_of(80, position, 320, model) == position
    assert int(model.optimizer.iterations.numpy()) == 2 * (320 // 80)
