"""No op of a training step waits for the host: each has a kernel for GPUs.

No GPU runs here. The step is traced, and its ops, those of loops, branches and
gradients too, are looked up with their dtypes in TensorFlow's registry of kernels, in
which the Linux wheel has the GPU's. What has none runs on the host: its inputs are
copied there and its results back, in every step.
"""

import functools
import itertools

import keras
import pytest
import tensorflow as tf
from tensorflow.python.framework import kernels

from npid_tf import NPID, InstanceClassifier, MemoryBank, ShardedMemoryBank
from npid_tf.banks import build_rows
from npid_tf.distribution.strategies import build_strategy
from npid_tf.encoders.encoder import build_encoder
from npid_tf.losses import build_loss
from npid_tf.optimizers import build_optimizer

N, DIM, BATCH, NEGATIVES = 101, 16, 8, 50

# Dtypes of an op that are not those of its data.
INDEX_DTYPES = {"Pad": {"int32"}, "Min": {"int32"}, "ListDiff": {"int32"}}
# Ops that may run on the host: (op, dtypes, highest rank), why, and what they copy.
EXCEPTIONS = {
    ("Const", "string", 0): "What an assertion says if it fails; 0 bytes a step.",
    ("Pad", "int64", 1): "tf.distribute's all_gather pads the indices of a batch; "
    "8 bytes an image and step.",
    ("Min", "int64", 0): "Indices are checked on the host by intent, where a data set "
    "leaves them (batch_checks.py); 8 bytes an image and step.",
}

SAMPLED = itertools.product(("nce", "sampled_softmax"), ("shared", "per_sample"))
LOSSES = [("nonparametric_softmax", "shared"), *SAMPLED]
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
ALL = [
    *itertools.product(LOSSES, PRECISIONS, ("float32", "bfloat16"), (1, 2)),
    *itertools.product(
        [("instance_classifier", rows) for rows in ("all", "smoothed", "recent")],
        PRECISIONS,
        ("float32",),
        (1, 2),
    ),
]
# Each loss with each row dtype, on two replicas, whose steps have the ops of one and
# those of their exchange; the precision is the encoder's. The others are slow.
QUICK = [
    case for case in ALL if case[3] == 2 and case[1] == PRECISIONS[len(case[2]) % 3]
]


@pytest.mark.parametrize(
    ("loss", "precision", "row_dtype", "num_replicas"),
    [
        pytest.param(*case, marks=() if case in QUICK else pytest.mark.slow)
        for case in ALL
    ],
)
def test_every_op_of_a_step_runs_on_a_gpu(loss, precision, row_dtype, num_replicas):
    keras.mixed_precision.set_global_policy(precision)
    strategy = build_strategy("one_device" if num_replicas == 1 else "mirrored")
    with strategy.scope():
        model = build_model(*loss, row_dtype, num_replicas)
        model.compile(build_optimizer("sgd", 0.1))
    operations = operations_of_step(model, strategy)
    assert set(map(on_host, operations)) == {None}
    for weight in model.bank.weights:
        assert lies_on_gpu(weight.value.dtype), weight.name


@pytest.mark.parametrize("optimizer", ["sgd", "muon"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_convolutions_and_optimizers_run_on_a_gpu(precision, optimizer):
    keras.mixed_precision.set_global_policy(precision)
    images = keras.Input([8, 8, 3])
    x = keras.layers.ZeroPadding2D()(images)
    x = keras.layers.Conv2D(4, 3, strides=2)(x)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    encoder = build_encoder(
        keras.Model(images, keras.layers.MaxPooling2D()(x)),
        DIM,
        head="mlp",
        batch_norm_before_l2=True,
    )
    loss = build_loss("nonparametric_softmax", N, 0.07)
    bank = MemoryBank(N, DIM)
    model = NPID(encoder, bank, loss, proximal_weight=0.1, weight_decay=1e-4)
    model.compile(build_optimizer(optimizer, 0.1))
    operations = operations_of_step(model, tf.distribute.get_strategy())
    assert {node.op for node, _ in operations} >= {"Conv2DBackpropFilter", "While"}
    assert set(map(on_host, operations)) == {None}


def test_what_has_no_kernel_is_found_in_loops_branches_and_gradients():
    @tf.function
    def step(x):
        x = tf.while_loop(lambda x: x[0] < 9, lambda x: [tf.pad(x, [[0, 0]])], [x])[0]
        return tf.cond(x[0] > 3, lambda: tf.raw_ops.ListDiff(x=x, y=x).out, lambda: x)

    graph = step.get_concrete_function(tf.TensorSpec([99], tf.int64)).graph
    found = set(map(on_host, operations_of(graph))) - {None}
    assert {each[:2] for each in found} == {("ListDiff", "int64"), ("Pad", "int64")}


def build_model(loss, kind, row_dtype, num_replicas):
    """A model of a tiny encoder without convolutions."""
    backbone = keras.Sequential([keras.Input([4, 4, 3]), keras.layers.Flatten()])
    encoder = build_encoder(backbone, DIM)
    if loss == "instance_classifier":
        rows = build_rows(
            N,
            DIM,
            40 if kind == "recent" else None,
            batch_size=BATCH * num_replicas,
            num_neighbors=5 if kind == "smoothed" else 0,
            weight_decay=1e-4,
        )
        smoothing = 0.2 if kind == "smoothed" else 0.0
        loss = build_loss(loss, N, 0.15, smoothing=smoothing)
        return InstanceClassifier(encoder, rows, loss, weight_decay=1e-4)
    make_bank = MemoryBank if num_replicas == 1 else ShardedMemoryBank
    bank = make_bank(N, DIM, row_dtype=row_dtype)
    loss = build_loss(
        loss, N, 0.07, negatives=kind, num_negatives=NEGATIVES, z_decay=0.9
    )
    return NPID(encoder, bank, loss, proximal_weight=0.1, weight_decay=1e-4)


def operations_of_step(model, strategy):
    images = tf.zeros([BATCH, *model.encoder.input_shape[1:]], tf.uint8)
    batch = images, tf.range(BATCH, dtype=tf.int64)
    if strategy.num_replicas_in_sync > 1:
        batch = strategy.experimental_distribute_values_from_function(lambda _: batch)

    @tf.function
    def step(images, indices):
        return strategy.run(model.train_step, args=((images, indices),))

    return operations_of(step.get_concrete_function(*batch).graph)


def operations_of(graph):
    """(node, rank of its outputs) of each operation of a graph and of all functions
    that it may call: a list. In functions, ranks are unknown: None."""
    definition = graph.as_graph_def()
    functions = definition.library.function
    ranks = {op.name: rank_of(op) for op in graph.get_operations()}
    nodes = [(node, ranks[node.name]) for node in definition.node]
    nodes += [(node, None) for function in functions for node in function.node_def]
    called = {function.signature.name for function in functions}
    return [(node, rank) for node, rank in nodes if node.op not in called]


def rank_of(op):
    ranks = [tensor.shape.rank for tensor in op.outputs]
    return None if None in ranks else max(ranks, default=0)


@functools.cache
def registered(op):
    return [
        kernel
        for kernel in kernels.get_registered_kernels_for_op(op).kernel
        if kernel.device_type in ("GPU", "DEFAULT")
    ]


def kernel_of(node):
    """The kernel for GPUs that takes the dtypes of a node, or None."""
    fitting = [
        kernel
        for kernel in registered(node.op)
        if all(takes(rule, node) for rule in kernel.constraint)
    ]
    # The one for GPUs alone comes first.
    return min(fitting, key=lambda kernel: kernel.device_type != "GPU", default=None)


def takes(rule, node):
    allowed = rule.allowed_values.list.type
    return not allowed or set(dtypes_of(node.attr[rule.name])) <= set(allowed)


def dtypes_of(value):
    return value.list.type if value.HasField("list") else [value.type]


def on_host(operation):
    """(op, dtypes, rank) of what `operations_of` gives if no kernel fits, else None."""
    node, rank = operation
    if kernel_of(node) is not None:
        return None
    dtypes = {t for value in node.attr.values() for t in dtypes_of(value) if t}
    names = {tf.as_dtype(t).name for t in dtypes} - INDEX_DTYPES.get(node.op, set())
    found = node.op, ",".join(sorted(names)), rank
    return None if is_excepted(*found) else found


def is_excepted(op, dtypes, rank):
    return any(
        (op, dtypes) == known[:2] and (op == "Const" or rank == known[2])
        for known in EXCEPTIONS
    )


def lies_on_gpu(dtype):
    node = tf.compat.v1.NodeDef(op="VarHandleOp")
    node.attr["dtype"].type = dtype.as_datatype_enum
    return kernel_of(node) is not None
