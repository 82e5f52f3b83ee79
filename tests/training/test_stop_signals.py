"""SIGTERM and Ctrl-C in anyone's `fit`: saved, then ended as its program wants."""

import os
import signal
import threading

import keras
import numpy as np
import pytest

from npid_tf.checkpoints.checkpoints import Checkpoints
from npid_tf.checkpoints.files import list_checkpoints
from npid_tf.checkpoints.position import Position
from npid_tf.training.callbacks import SaveCheckpoints
from npid_tf.training.stop_signals import ending_by
from tests.support.saved_models import FINGERPRINT, N, build

STEPS = 5
IMAGES = np.random.default_rng(0).integers(0, 256, (N, 2, 2, 3), np.uint8)


class Send(keras.callbacks.Callback):
    """Does something at the end of a step of the first epoch, or of the epoch."""

    def __init__(self, action, step=1):
        super().__init__()
        self.action, self.step = action, step

    def on_train_batch_end(self, batch, logs=None):
        if batch == self.step:
            self.action()

    def on_epoch_end(self, epoch, logs=None):
        if self.step == "epoch end":
            self.action()


def send(number):
    return lambda: os.kill(os.getpid(), number)


@pytest.fixture(scope="module")
def model():
    return build("memory_bank")


@pytest.fixture(autouse=True)
def handlers_stay():
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
    yield
    after = {number: signal.getsignal(number) for number in before}
    for number, handler in before.items():
        signal.signal(number, handler)
    assert after == before


def fit(model, folder, *callbacks):
    model.step.assign(0)
    save = SaveCheckpoints(
        Checkpoints(folder, model, FINGERPRINT), STEPS, Position(), None
    )
    model.fit(
        IMAGES[:10],
        np.arange(10),
        batch_size=2,
        epochs=2,
        verbose=0,
        callbacks=[*callbacks, save],
    )


def saved(folder):
    return [int(os.path.basename(path)) for path in list_checkpoints(folder)]


@pytest.fixture(autouse=True)
def ctrl_c_is_heard():
    """A shell's background jobs ignore it, and so would Python."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("step", "steps"), [(1, 2), (0, 1), ("epoch end", 5)])
def test_sigterm_saves_the_step_and_exits_143(model, tmp_path, step, steps):
    with pytest.raises(SystemExit) as ended:
        fit(model, tmp_path, Send(send(signal.SIGTERM), step))
    assert ended.value.code == 143
    assert saved(tmp_path) == [steps]


def test_ctrl_c_saves_the_step_and_is_ctrl_c(model, tmp_path, capfd):
    with pytest.raises(KeyboardInterrupt):
        fit(model, tmp_path, Send(send(signal.SIGINT)))
    assert saved(tmp_path) == [2]
    assert "Ctrl-C: saving after this step" in capfd.readouterr().err


def test_a_second_ctrl_c_ends_it_at_once(model, tmp_path):
    def twice():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("went on")

    with pytest.raises(KeyboardInterrupt):
        fit(model, tmp_path, Send(twice))
    assert saved(tmp_path) == []


def test_a_handler_of_theirs_is_called_after_it_is_saved(model, tmp_path):
    seen = []
    previous = signal.signal(signal.SIGTERM, lambda *_: seen.append(saved(tmp_path)))
    try:
        with pytest.raises(SystemExit):
            fit(model, tmp_path, Send(send(signal.SIGTERM)))
        os.kill(os.getpid(), signal.SIGTERM)  # And it is theirs again.
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert seen == [[2], [2]]


def test_handlers_are_put_back_where_fit_raises(model, tmp_path):
    def fail():
        raise KeyError("theirs")

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyError):
        fit(model, tmp_path, Send(fail))
    assert signal.getsignal(signal.SIGTERM) == before


def test_what_is_ignored_stays_ignored(model, tmp_path):
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        fit(model, tmp_path, Send(send(signal.SIGINT)))
    finally:
        signal.signal(signal.SIGINT, previous)
    assert saved(tmp_path) == [5, 10]


def test_in_another_thread_it_saves_without_handlers(model, tmp_path):
    thread = threading.Thread(target=fit, args=(model, tmp_path))
    thread.start()
    thread.join()
    assert saved(tmp_path) == [5, 10]


def test_checkpoints_of_another_run_are_not_overwritten(model, tmp_path):
    fit(model, tmp_path)
    with pytest.raises(ValueError, match=r"checkpoint of step 10, and this model is"):
        fit(model, tmp_path)
    assert saved(tmp_path) == [5, 10]


def test_outside_of_steps_a_program_ends_in_its_own_words():
    def leave(number, frame):
        assert frame is not None
        raise SystemExit(128 + number)

    with pytest.raises(SystemExit) as ended, ending_by(leave):
        os.kill(os.getpid(), signal.SIGTERM)
    assert ended.value.code == 143
