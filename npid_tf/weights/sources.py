"""What other projects' checkpoints hold, and under which names.

A source turns what a file holds into `Weights`. To add one: a function here and a line
in `SOURCES`.
"""

import dataclasses
import re

import numpy as np

from npid_tf.errors import UserError
from npid_tf.weights.unpickle import Placeholder


@dataclasses.dataclass
class Weights:
    """A checkpoint in this package's terms.

    arrays: {name: array}, torchvision's names, the projection as `fc`.
    head: `linear`, `mlp` or `none`, as `build_encoder` names them.
    bank: [num_instances, embedding_dim] or None.
    momentum: what a row of the bank keeps of its old value, or None.
    temperature: the loss's, or None.
    z: NCE's constant, or None.
    left_out: what the file has and no encoder: texts.
    """

    arrays: dict
    head: str
    bank: np.ndarray | None = None
    momentum: float | None = None
    temperature: float | None = None
    z: float | None = None
    left_out: list = dataclasses.field(default_factory=list)

    @property
    def head_batch_norm(self):
        """Whether batch norm comes before the L2 norm."""
        return "fc_norm.weight" in self.arrays

    @property
    def embedding_dim(self):
        """Output dimension of the head; None if there is none."""
        last = {"linear": "fc.weight", "mlp": "fc.2.weight", "none": None}[self.head]
        return None if last is None else self.arrays[last].shape[0]


def read_source(source, content):
    """The `Weights` of a file's content, which a program called `source` wrote.

    Raises ValueError for an unknown source, or content that is not of that program.
    """
    if source not in SOURCES:
        raise UserError(f"Unknown source {source!r}. Known: {', '.join(SOURCES)}.")
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    arrays = {
        name: value
        for name, value in (state.items() if isinstance(state, dict) else ())
        if isinstance(name, str) and isinstance(value, np.ndarray)
    }
    if not arrays:
        raise UserError(
            "The file holds no named arrays, neither at its top nor as `state_dict`."
        )
    weights = SOURCES[source](arrays, content)
    counters, weights.arrays = _split(
        weights.arrays, lambda name: name.endswith(".num_batches_tracked")
    )
    weights.left_out += _told(counters, "counters of batch norm")
    return weights


def _own(arrays, content):
    """What this package wrote."""
    return Weights(arrays, _head(arrays))


def _torchvision(arrays, content):
    classifiers = ("fc.", "classifier.6.")
    classifier, rest = _split(arrays, lambda name: name.startswith(classifiers))
    return Weights(rest, "none", left_out=_told(classifier, "of the classifier"))


def _lemniscate(arrays, content):
    arrays = {name.replace("module.", "", 1): array for name, array in arrays.items()}
    weights = Weights(arrays, _head(arrays))
    average = content.get("lemniscate")
    if isinstance(average, Placeholder) and isinstance(average.state, dict):
        buffers = average.state.get("_buffers", {})
        weights.bank = buffers.get("memory")
        # As they were set: 0.07, not float32's 0.07000000029802322.
        parameters = [round(float(value), 6) for value in buffers.get("params", ())]
        if len(parameters) == 4:  # NCE: m, temperature, Z, momentum
            _, weights.temperature, z, weights.momentum = parameters
            weights.z = z if z > 0 else None  # -1: no step was made
        elif len(parameters) == 2:
            weights.temperature, weights.momentum = parameters
    return weights


def _moco(arrays, content):
    prefix = "module.encoder_q."
    query, rest = _split(arrays, lambda name: name.startswith(prefix))
    query = {name.removeprefix(prefix): array for name, array in query.items()}
    left_out = _told(rest, "of the key encoder and the queue")
    return Weights(query, _head(query), left_out=left_out)


def _mmselfsup(arrays, content):
    prefixes = ("backbone.", "neck.")  # neck.fc. is the projection.
    encoder, rest = _split(arrays, lambda name: name.startswith(prefixes))
    bank = rest.pop("memory_bank.feature_bank", None)
    encoder = {name.partition(".")[2]: array for name, array in encoder.items()}
    left_out = _told(rest, "not of the encoder")
    weights = Weights(encoder, _head(encoder), bank, left_out=left_out)
    meta = content.get("meta", {})
    meta = meta if isinstance(meta, dict) else {}
    settings = str(meta.get("config") or meta.get("cfg") or "")
    # What a row takes of the new embedding: the opposite of ours.
    new = re.search(r"SimpleMemory'[^()]*momentum=([\d.]+)", settings)
    weights.momentum = round(1 - float(new[1]), 6) if new else None
    temperature = re.search(r"ContrastiveHead'[^()]*temperature=([\d.]+)", settings)
    weights.temperature = float(temperature[1]) if temperature else None
    return weights


def _split(arrays, is_wanted):
    wanted = {name: array for name, array in arrays.items() if is_wanted(name)}
    return wanted, {n: array for n, array in arrays.items() if n not in wanted}


def _told(arrays, reason):
    """A text of many names, none for no names."""
    first, *rest = arrays or [None]
    return [f"{first}{f' and {len(rest)} more' * bool(rest)}, {reason}"] * bool(arrays)


def _head(arrays):
    if "fc.2.weight" in arrays:
        return "mlp"
    return "linear" if "fc.weight" in arrays else "none"


SOURCES = {
    "npid_tf": _own,
    "lemniscate": _lemniscate,
    "mmselfsup": _mmselfsup,
    "moco": _moco,
    "torchvision": _torchvision,
}
