"""Which parts go together, in whose scope they are made, what Keras's calls take."""

import copy

import keras
import numpy as np
import pytest
import tensorflow as tf

from npid_tf import (
    NCE,
    NPID,
    InstanceClassifier,
    InstanceCrossEntropy,
    LearnedRows,
    MemoryBank,
    NonparametricSoftmax,
    PerSampleNegatives,
    RecentRows,
    SampledSoftmax,
    ShardedMemoryBank,
    SharedNegatives,
    build_encoder,
)
from npid_tf.distribution.strategies import build_strategy

N, DIM = 12, 5


def small_encoder(dim=DIM):
    images = keras.Input((4, 4, 3))
    return build_encoder(keras.Model(images, keras.layers.Flatten()(images)), dim)


def small_model():
    return NPID(small_encoder(), MemoryBank(N, DIM), NonparametricSoftmax(0.2))


PARTS = {
    "encoder": small_encoder,
    "bank": lambda: MemoryBank(N, DIM),
    "loss": lambda: NCE(SharedNegatives(N, 4), 0.2),
}


@pytest.mark.parametrize("outside", [*PARTS, "optimizer"])
def test_a_part_made_outside_of_the_strategy_is_refused(outside):
    parts = {outside: PARTS[outside]()} if outside in PARTS else {}
    optimizer = keras.optimizers.SGD(0.1)
    with build_strategy("mirrored").scope():
        parts = {name: make() for name, make in PARTS.items()} | parts
        with pytest.raises(ValueError, match=f"`{outside}` must be made in the scope"):
            NPID(**parts).compile(optimizer)


@pytest.mark.parametrize("inside", PARTS)
def test_a_part_made_in_a_strategy_is_refused_outside_of_it(inside):
    with build_strategy("mirrored").scope():
        part = PARTS[inside]()
    parts = {name: make() for name, make in PARTS.items()} | {inside: part}
    with pytest.raises(ValueError, match=r"Received: MirroredStrategy.*no strategy"):
        NPID(**parts)


def test_a_part_of_another_strategy_is_refused():
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        bank = MemoryBank(N, DIM)
    with (
        build_strategy("mirrored").scope(),
        pytest.raises(ValueError, match="`bank` must be made in the scope"),
    ):
        NPID(small_encoder(), bank, NonparametricSoftmax(0.2))


@pytest.mark.parametrize("bank_class", [MemoryBank, ShardedMemoryBank])
def test_a_bank_is_moved_by_its_own_replicas_alone(bank_class):
    strategy, row = build_strategy("mirrored"), np.eye(1, DIM, dtype=np.float32)
    outside = bank_class(N, DIM)
    with strategy.scope():
        inside = bank_class(N, DIM)
        with pytest.raises(ValueError, match="call it by `fit`"):
            inside.update([0], row)
    with pytest.raises(ValueError, match="by the replicas of the strategy"):
        inside.update([0], row)
    with pytest.raises(ValueError, match="by the replicas of the strategy"):
        strategy.run(lambda: outside.update([0], row))


@pytest.mark.parametrize("num_instances", [N - 1, N + 1])
@pytest.mark.parametrize("negatives", [SharedNegatives, PerSampleNegatives])
@pytest.mark.parametrize("loss", [NCE, SampledSoftmax])
def test_negatives_of_another_number_of_rows_are_refused(
    loss, negatives, num_instances
):
    loss = loss(negatives(num_instances, 4), 0.2)
    message = rf"num_instances={num_instances}\), and a bank of {N} rows"
    with pytest.raises(ValueError, match=message):
        NPID(small_encoder(), MemoryBank(N, DIM), loss)
    with pytest.raises(ValueError, match=message):
        loss(tf.eye(2, DIM), tf.constant([0, 1]), bank=MemoryBank(N, DIM), seed=[0, 1])


def test_parts_of_another_kind_are_refused():
    encoder, bank, loss = small_encoder(), MemoryBank(N, DIM), NonparametricSoftmax()
    rows, entropy = LearnedRows(N, DIM), InstanceCrossEntropy()
    for make, parts, name in (
        (NPID, (bank, encoder, loss), "encoder"),
        (NPID, (encoder, loss, bank), "bank"),
        (NPID, (encoder, bank, "nce"), "loss"),
        (NPID, (encoder, bank, encoder), "loss"),
        (NPID, (encoder, rows, loss), "bank"),
        (NPID, (encoder, bank, entropy), "loss"),
        (InstanceClassifier, (encoder, bank, entropy), "bank"),
        (InstanceClassifier, (encoder, rows, loss), "loss"),
        (NPID, (small_encoder(DIM + 1), bank, loss), "bank"),
        (NPID, (keras.Model(encoder.input, [encoder.output] * 2), bank, loss), "enco"),
    ):
        with pytest.raises(ValueError, match=f"`{name}"):
            make(*parts)


@pytest.mark.parametrize(
    "make",
    [
        lambda: MemoryBank(N + 0.0, DIM),
        lambda: MemoryBank(True, DIM),
        lambda: MemoryBank(0, DIM),
        lambda: MemoryBank(N, 0),
        lambda: MemoryBank(N, "5"),
        lambda: MemoryBank(N, DIM, float("nan")),
        lambda: MemoryBank(N, DIM, "normal"),
        lambda: MemoryBank(N, DIM, initializer=None),
        lambda: MemoryBank(N, DIM, seed=0.5),
        lambda: MemoryBank(N, DIM, seed=2**63),
        lambda: MemoryBank(N, DIM, row_dtype="float16"),
        lambda: LearnedRows(N, DIM, weight_decay="normal"),
        lambda: LearnedRows(N, DIM, weight_decay=-1e-4),
        lambda: LearnedRows(N, DIM, weight_decay=float("inf")),
        lambda: LearnedRows(N, DIM, num_neighbors=N),
        lambda: LearnedRows(N, DIM, num_neighbors=1.5),
        lambda: RecentRows(N, DIM, 4.0),
        lambda: SharedNegatives(N, N),
        lambda: SharedNegatives(N, 2.5),
        lambda: PerSampleNegatives(float(N), 4),
        lambda: NCE("shared"),
        lambda: NCE(SharedNegatives(N, 4), z_decay=float("nan")),
        lambda: NCE(SharedNegatives(N, 4), z_decay=1.0),
        lambda: NonparametricSoftmax("0.1"),
        lambda: NonparametricSoftmax(float("inf")),
        lambda: InstanceCrossEntropy(0.0),
        lambda: InstanceCrossEntropy(0.2, 1.0),
        lambda: InstanceCrossEntropy(0.2, float("nan")),
        lambda: build_encoder(keras.Sequential([keras.Input([4, 4, 3])]), 0),
        lambda: build_encoder(keras.Sequential([keras.Input([4, 4, 3])]), 2.0),
    ],
)
def test_arguments_out_of_their_range_are_refused(make):
    with pytest.raises(ValueError, match=r"(must|Unknown).*Received|Unknown"):
        make()


@pytest.mark.parametrize(
    "arguments",
    [
        {"proximal_weight": -1.0},
        {"proximal_weight": float("nan")},
        {"weight_decay": float("inf")},
        {"seed": 1.5},
    ],
)
def test_settings_of_a_model_out_of_their_range_are_refused(arguments):
    with pytest.raises(ValueError, match="must be"):
        NPID(small_encoder(), MemoryBank(N, DIM), NonparametricSoftmax(), **arguments)


def test_compile_takes_its_arguments_in_keras_order():
    model = small_model()
    with pytest.raises(ValueError, match=r"takes its loss when it is made.*'mse'"):
        model.compile("adam", "mse")
    with pytest.raises(ValueError, match="takes its loss when it is made"):
        model.compile("adam", None, None, ["accuracy"])
    with pytest.raises(ValueError, match="`jit_compile` must be True or False"):
        model.compile("adam", jit_compile="mse")
    model.compile("adam", None, None, None, None, True, 2)
    assert (model.run_eagerly, model.steps_per_execution) == (True, 2)
    model.compile("adam", jit_compile="auto")  # XLA is off unless asked for.
    assert not model.jit_compile


@pytest.mark.parametrize(
    "make",
    [
        small_model,
        lambda: NCE(SharedNegatives(N, 4), 0.2),
        lambda: SampledSoftmax(PerSampleNegatives(N, 4), 0.2),
        lambda: SharedNegatives(N, 4),
        lambda: RecentRows(N, DIM, 4),
        lambda: NPID(
            small_encoder(), MemoryBank(np.int64(N), DIM), NonparametricSoftmax()
        ),
    ],
)
def test_a_config_can_be_used_twice(make):
    config = make().get_config()
    kept = copy.deepcopy(config)
    cls = type(make())
    first, second = cls.from_config(config), cls.from_config(config)
    assert config == kept
    assert first.get_config().keys() == second.get_config().keys() == kept.keys()


LAYERS = {
    "memory_bank": lambda **given: MemoryBank(N, DIM, **given),
    "sharded_memory_bank": lambda **given: ShardedMemoryBank(N, DIM, **given),
    "learned_rows": lambda **given: LearnedRows(N, DIM, **given),
    "recent_rows": lambda **given: RecentRows(N, DIM, 4, **given),
    "nce": lambda **given: NCE(SharedNegatives(N, 4), **given),
    "sampled_softmax": lambda **given: SampledSoftmax(SharedNegatives(N, 4), **given),
    "nonparametric_softmax": NonparametricSoftmax,
    "instance_cross_entropy": InstanceCrossEntropy,
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_take_the_arguments_of_keras(name):
    first, second = LAYERS[name](), LAYERS[name]()
    assert first.name != second.name and first.name.startswith(name)
    assert LAYERS[name](name="mine", dtype="float32").name == "mine"
    config = LAYERS[name](name="mine").get_config()
    assert type(first).from_config(config).get_config() == config
    with pytest.raises(ValueError, match=r"`dtype` must be float32\. Received"):
        LAYERS[name](dtype="float16")
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    assert LAYERS[name]().compute_dtype == "float32"


@pytest.mark.parametrize("make", [MemoryBank, ShardedMemoryBank])
def test_a_config_of_before_placements_makes_the_same_bank(make):
    before = {"num_instances": N, "embedding_dim": DIM, "momentum": 0.5, "seed": 3}
    before |= {"initializer": "uniform", "row_dtype": "float32", "name": "memory_bank"}
    bank = make.from_config(before)
    expected = "sharded" if make is ShardedMemoryBank else "replicated"
    assert (bank.placement, bank.seed, bank.name) == (expected, 3, "memory_bank")
