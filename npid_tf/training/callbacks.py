"""What happens around the steps of `fit`. All work in anyone's `model.fit`."""

import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from npid_tf.checks.arguments import positive_number, whole_number
from npid_tf.checks.vectors_and_labels import checked_labels
from npid_tf.distribution import workers
from npid_tf.encoders.embed import embed
from npid_tf.errors import UserError
from npid_tf.evaluation.knn import knn_accuracy
from npid_tf.training.metrics_file import keep_epochs, write_line
from npid_tf.training.stop_signals import NAMES, Remembered


class StopOnNonFiniteLoss(keras.callbacks.Callback):
    """Raises ValueError at the first step whose loss is infinite or not a number.

    Example:

    >>> import npid_tf
    >>> callbacks = [npid_tf.StopOnNonFiniteLoss()]  # model.fit(..., callbacks=...)
    """

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        loss = np.ravel(logs["loss"])[0]  # of shape [1] on several workers
        if not np.isfinite(loss):
            raise UserError(
                f"The loss became {loss} at step {batch + 1} of the epoch: training "
                "diverged, or pixels of its images are NaN or infinite. The last "
                "checkpoint is kept; try a lower --learning_rate, or "
                "--precision=float32."
            )


class KNNEvaluation(keras.callbacks.Callback):
    """Adds `knn_top1` to the logs: accuracy of kNN on the bank as trained, in 0..1.

    Args:
        dataset: of batches of (images, indices) to classify, every index once.
        labels: int64 [num_images], the class of each of them.
        train_labels: int64 [num_instances], the class of each row of the bank.
        k: neighbors; as many as there are rows if those are fewer.
        temperature: of the votes.
        every: epochs between evaluations.

    Raises:
        ValueError: for labels that are no integers, and numbers out of range.

    Source: Wu et al. 2018, section 3.4.

    Example:

    >>> import numpy as np, tensorflow as tf, npid_tf
    >>> images, labels = np.zeros([6, 8, 8, 3], np.uint8), [0, 1, 2, 0, 1, 2]
    >>> dataset = tf.data.Dataset.from_tensor_slices((images, np.arange(6))).batch(4)
    >>> evaluation = npid_tf.KNNEvaluation(dataset, labels, train_labels=labels)
    >>> evaluation.k  # model.fit(..., callbacks=[evaluation]) adds knn_top1 to the logs
    6
    """

    def __init__(
        self,
        dataset: tf.data.Dataset,
        labels: ArrayLike,
        train_labels: ArrayLike,
        *,
        k: int = 200,
        temperature: float = 0.1,
        every: int = 1,
    ):
        super().__init__()
        self.dataset = dataset
        self.labels = checked_labels(labels, "labels")
        self.train_labels = checked_labels(train_labels, "train_labels", least=-1)
        self.k = min(whole_number("k", k, 1), len(self.train_labels))
        self.temperature = positive_number("temperature", temperature)
        self.every = whole_number("every", every, 1)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        if (epoch + 1) % self.every and epoch + 1 != self.params["epochs"]:
            return
        accuracy = knn_accuracy(
            embed(self.model.encoder, self.dataset, len(self.labels)),
            self.labels,
            self.model.bank.blocks(),
            self.train_labels,
            (self.k,),
            temperature=self.temperature,
        )
        logs["knn_top1"] = accuracy[self.k]["top1"]


class EpochLog(keras.callbacks.Callback):
    """Adds speed and learning rate to the logs, and writes them as lines of JSON.

    A run that is resumed at `first_epoch` keeps the lines of the epochs before it.
    With a `DataWait` of the data set, `data_wait` is the part of the steps' time for
    which they waited for images.
    """

    def __init__(self, path, batch_size, first_epoch=0, data_wait=None):
        super().__init__()
        self.path = path
        self.batch_size = batch_size
        self.data_wait = data_wait
        keep_epochs(path, first_epoch)

    def on_epoch_begin(self, epoch, logs=None):
        if self.data_wait is not None:
            self.data_wait.take()
        self._started = time.perf_counter()
        self._num_steps = 0

    def on_train_batch_end(self, batch, logs=None):
        self._num_steps = batch + 1
        self._stopped = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        logs["seconds"] = self._stopped - self._started  # Of the steps only.
        num_images = self._num_steps * self.batch_size
        logs["images_per_second"] = num_images / logs["seconds"]
        if self.data_wait is not None:
            logs["data_wait"] = self.data_wait.take() / logs["seconds"]
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        line = {
            "epoch": epoch + 1,
            **{key: float(np.ravel(logs[key])[0]) for key in logs},
        }
        write_line(self.path, line)


class SaveCheckpoints(keras.callbacks.Callback):
    """Saves at the end of each epoch, every `every_steps` steps, at SIGTERM and Ctrl-C.

    After these, the step in progress is finished (or, if all steps of the epoch are
    done, what follows them) and saved. Then SIGTERM's handler of before `fit` is
    called, and SystemExit(143) raised; for Ctrl-C KeyboardInterrupt, as without this
    callback. A second Ctrl-C does so at once.

    Args:
        checkpoints: `Checkpoints` of the model.
        steps_per_epoch: steps of a whole epoch.
        position: where `fit` starts. The losses of the epoch that it goes on with are
            put back.
        every_steps: also save in mid-epoch; None: not.
    """

    def __init__(self, checkpoints, steps_per_epoch, position, every_steps=None):
        super().__init__()
        self.checkpoints = checkpoints
        self.steps_per_epoch = steps_per_epoch
        self.position = position
        self.every_steps = every_steps
        self._signal = Remembered()

    def on_train_begin(self, logs=None):
        self._signal.start()
        self.model.during_fit.callback(self._signal.stop)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        self._first_step = 0
        if epoch == self.position.epoch and self.position.step:
            self._first_step = self.position.step
            tracker = self.model.loss_tracker.variables
            for variable, value in zip(
                tracker, self.position.loss_tracker, strict=True
            ):
                variable.assign(value)

    def on_train_batch_end(self, batch, logs=None):
        step = self._first_step + batch + 1
        if step >= self.steps_per_epoch:
            return  # The end of the epoch saves.
        is_due = self.every_steps and step % self.every_steps == 0
        number = self._agreed_signal()
        if is_due or number:
            self._save_and_leave(self._epoch, step, number)

    def on_epoch_end(self, epoch, logs=None):
        self._save_and_leave(epoch + 1, 0, self._agreed_signal())

    def _agreed_signal(self):
        # It may reach only one worker, or another one in another step, or arrive now.
        number = self._signal.number
        strategy = self.model.distribute_strategy
        if workers.is_multi_worker(strategy):
            number = int(workers.all_gather(strategy, [number]).max())
        return number

    def _save_and_leave(self, epoch, step, number):
        self.checkpoints.save(epoch, step)
        if number:
            name = NAMES[number]
            print(
                f"Stopped by {name}. Run the same command again to resume.", flush=True
            )
            self._signal.leave(number)
