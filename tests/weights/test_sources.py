"""What each project's checkpoint turns into."""

import numpy as np
import pytest

from npid_tf.weights.sources import read_source
from npid_tf.weights.unpickle import Placeholder

RNG = np.random.default_rng(0)
BODY = {"conv1.weight": RNG.random((2, 3, 3, 3)), "bn1.bias": RNG.random(2)}
HEAD = {"fc.weight": RNG.random((4, 2)), "fc.bias": RNG.random(4)}
COUNTER = {"bn1.num_batches_tracked": np.array(7)}
BANK = RNG.random((6, 4))
CONFIG = """
model = dict(
    type='NPID',
    head=dict(type='ContrastiveHead', temperature=0.2),
    memory_bank=dict(
        type='SimpleMemory', length=1281167, feat_dim=128, momentum=0.3))
optimizer = dict(type='SGD', lr=0.03, momentum=0.9)
"""


def prefixed(prefix, arrays):
    return {prefix + name: array for name, array in arrays.items()}


def module(**buffers):
    average = Placeholder()
    average.state = {"_buffers": buffers, "training": True}
    return average


def check_arrays(weights, expected):
    assert weights.arrays.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(weights.arrays[name], array)


def test_lemniscate_has_prefixes_a_bank_and_its_settings():
    state = prefixed("module.", BODY | HEAD | COUNTER)
    params = np.array([4096, 0.07, 2876934, 0.4], "float32")
    average = module(memory=BANK, params=params)
    content = {"state_dict": state, "lemniscate": average, "epoch": 200}
    weights = read_source("lemniscate", content)
    check_arrays(weights, BODY | HEAD)
    assert (weights.head, weights.embedding_dim) == ("linear", 4)
    assert weights.bank is BANK
    assert (weights.momentum, weights.temperature, weights.z) == (0.4, 0.07, 2876934)
    assert weights.left_out == ["bn1.num_batches_tracked, counters of batch norm"]


def test_lemniscates_exact_softmax_has_two_settings_and_no_z():
    average = module(memory=BANK, params=np.array([0.1, 0.5]))
    weights = read_source("lemniscate", {"state_dict": BODY, "lemniscate": average})
    assert (weights.temperature, weights.momentum, weights.z) == (0.1, 0.5, None)
    untrained = module(memory=BANK, params=np.array([4096, 0.07, -1, 0.5]))
    content = {"state_dict": BODY, "lemniscate": untrained}
    assert read_source("lemniscate", content).z is None


def test_mmselfsups_momentum_is_what_a_row_takes():
    state = (
        prefixed("backbone.", BODY)
        | prefixed("neck.", HEAD)
        | {"memory_bank.feature_bank": BANK, "data_preprocessor.mean": np.zeros(3)}
    )
    for key in ("config", "cfg"):  # 0.x and 1.x
        content = {"state_dict": state, "meta": {key: CONFIG, "epoch": 200}}
        weights = read_source("mmselfsup", content)
        check_arrays(weights, BODY | HEAD)
        assert (weights.head, weights.embedding_dim) == ("linear", 4)
        assert weights.bank is BANK
        assert (weights.momentum, weights.temperature) == (0.7, 0.2)
        assert weights.left_out == ["data_preprocessor.mean, not of the encoder"]


def test_mmselfsup_without_settings_says_nothing_of_them():
    weights = read_source("mmselfsup", {"state_dict": prefixed("backbone.", BODY)})
    assert weights.head == "none"
    assert (weights.bank, weights.momentum, weights.temperature) == (None,) * 3


def test_mocos_query_encoder_is_taken():
    mlp = {
        "fc.0.weight": RNG.random((2, 2)),
        "fc.0.bias": RNG.random(2),
        "fc.2.weight": RNG.random((4, 2)),
        "fc.2.bias": RNG.random(4),
    }
    for head, arrays in {"linear": HEAD, "mlp": mlp}.items():
        state = (
            prefixed("module.encoder_q.", BODY | arrays)
            | prefixed("module.encoder_k.", BODY | arrays)
            | {"module.queue": BANK.T}
        )
        weights = read_source("moco", {"state_dict": state, "arch": "resnet50"})
        check_arrays(weights, BODY | arrays)
        assert (weights.head, weights.embedding_dim) == (head, 4)
        [left_out] = weights.left_out
        count = len(BODY | arrays)
        assert left_out == (
            f"module.encoder_k.conv1.weight and {count} more, "
            "of the key encoder and the queue"
        )


def test_torchvisions_classifier_is_left_out():
    for classifier in ("fc.", "classifier.6."):
        state = BODY | {f"{classifier}weight": RNG.random((1000, 2))}
        weights = read_source("torchvision", state)
        check_arrays(weights, BODY)
        assert (weights.head, weights.embedding_dim) == ("none", None)
        assert weights.left_out == [f"{classifier}weight, of the classifier"]


def test_our_own_arrays_say_which_head_they_have():
    weights = read_source("npid_tf", BODY | HEAD)
    check_arrays(weights, BODY | HEAD)
    assert (weights.head, weights.head_batch_norm) == ("linear", False)
    assert read_source("npid_tf", BODY | {"fc_norm.weight": BANK}).head_batch_norm


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {"state_dict": [BANK]}])
def test_files_without_named_arrays_are_refused(content):
    with pytest.raises(ValueError, match="The file holds no named arrays"):
        read_source("torchvision", content)


def test_unknown_sources_are_refused():
    message = (
        "Unknown source 'timm'. Known: npid_tf, lemniscate, mmselfsup, moco, torch"
    )
    with pytest.raises(ValueError, match=message):
        read_source("timm", BODY)
