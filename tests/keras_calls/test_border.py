"""What is wrong at the library's border is told there, on every bank and loss."""

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
    initialize_by_forward_pass,
)
from npid_tf.banks.files import read_bank
from npid_tf.distribution.strategies import build_strategy

N, DIM = 24, 5
IMAGES = np.random.default_rng(0).integers(0, 256, (N, 4, 4, 3), np.uint8)
OUTSIDE = np.arange(N, 2 * N)

BANKS = {
    "replicated": lambda: MemoryBank(N, DIM),
    "bfloat16": lambda: MemoryBank(N, DIM, row_dtype="bfloat16"),
    "sharded": lambda: ShardedMemoryBank(N, DIM),
    "learned": lambda: LearnedRows(N, DIM, num_neighbors=3),
    "recent": lambda: RecentRows(N, DIM, 16),
}
LOSSES = {
    "softmax": lambda: NonparametricSoftmax(0.2),
    "nce": lambda: NCE(SharedNegatives(N, 8), 0.2),
    "sampled": lambda: SampledSoftmax(PerSampleNegatives(N, 8), 0.2),
    "classifier": lambda: InstanceCrossEntropy(0.2),
}
ROWS_OF_CLASSIFIER = ("learned", "recent")


def small_encoder(dim=DIM):
    images = keras.Input((4, 4, 3))
    return build_encoder(keras.Model(images, keras.layers.Flatten()(images)), dim)


def small_model(bank="replicated", loss="softmax", encoder=None, **arguments):
    keras.utils.set_random_seed(0)
    make = InstanceClassifier if bank in ROWS_OF_CLASSIFIER else NPID
    loss = "classifier" if bank in ROWS_OF_CLASSIFIER else loss
    model = make(encoder or small_encoder(), BANKS[bank](), LOSSES[loss]())
    model.compile(keras.optimizers.SGD(0.1), **arguments)
    return model


def weights_of(bank):
    return {name: rows.numpy() for name, rows in bank.all_rows().items()}


def assert_unchanged(bank, before):
    for name, rows in weights_of(bank).items():
        np.testing.assert_array_equal(rows, before[name])


def unit_rows(count, dim=DIM):
    return np.tile(np.eye(1, dim, dtype=np.float32), (count, 1))


# Indices


@pytest.mark.parametrize(
    ("bank", "loss", "arguments"),
    [
        ("replicated", "softmax", {}),
        ("sharded", "nce", {}),
        ("learned", None, {}),
        ("recent", None, {}),
        ("replicated", "sampled", {"run_eagerly": True}),
        ("replicated", "nce", {"jit_compile": True}),
        ("sharded", "sampled", {"jit_compile": True}),
        ("learned", None, {"jit_compile": True}),
        ("replicated", "softmax", {"steps_per_execution": 2}),
    ],
)
def test_indices_that_are_no_rows_stop_a_step_before_it_changes_anything(
    bank, loss, arguments
):
    model = small_model(bank, loss, **arguments)
    message = "`indices` must be in .*, 24.*from 24 to 47, where num_instances=24"
    before = weights_of(model.bank)
    with pytest.raises(ValueError, match=message):
        model.fit(IMAGES, OUTSIDE, batch_size=N, verbose=0)
    with pytest.raises(ValueError, match=message):
        model.evaluate(IMAGES, OUTSIDE, batch_size=N, verbose=0)
    with pytest.raises(ValueError, match="from -1 to 22"):
        model.train_on_batch(IMAGES, np.arange(N) - 1)
    assert_unchanged(model.bank, before)
    assert int(model.step) == 0


@pytest.mark.parametrize("bank", ["replicated", "sharded", "recent"])
def test_indices_that_are_no_rows_stop_a_step_on_two_replicas(bank):
    with build_strategy("mirrored").scope():
        model = small_model(bank)
    with pytest.raises(ValueError, match=r"`indices` must be in .*num_instances=24"):
        model.fit(IMAGES, OUTSIDE, batch_size=8, verbose=0)


@pytest.mark.parametrize("bank", BANKS)
@pytest.mark.parametrize("numbers", [[0, N], [-1, 0]])
def test_rows_are_neither_looked_up_nor_moved_where_there_are_none(bank, numbers):
    bank = BANKS[bank]()
    before = weights_of(bank)
    message = f"from {min(numbers)} to {max(numbers)}"
    calls = [lambda i: bank.lookup(i)]
    if not hasattr(bank, "descend"):
        calls.append(lambda i: bank.update(i, unit_rows(2)))
    for call in calls:
        with pytest.raises(ValueError, match=message):
            call(numbers)
        with pytest.raises(tf.errors.InvalidArgumentError, match="`indices` must be"):
            tf.function(call)(tf.constant(numbers))
    assert_unchanged(bank, before)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_tells_of_indices_that_are_no_rows(loss):
    bank = BANKS["learned" if loss == "classifier" else "replicated"]()
    loss = LOSSES[loss]()
    seed = tf.constant([0, 1], tf.int64)

    def compute(indices):
        indices = tf.convert_to_tensor(indices)
        return loss(tf.constant(unit_rows(2)), indices, bank=bank, seed=seed)

    with pytest.raises(ValueError, match="from 3 to 24"):
        compute([3, N])
    with pytest.raises(tf.errors.InvalidArgumentError, match="`indices` must be"):
        tf.function(compute)(tf.constant([3, N]))
    # XLA drops assertions: there the loss of that image is no number.
    losses = tf.function(compute, jit_compile=True)(tf.constant([3, N]))
    assert np.isnan(losses[1])
    # NCE's Z, of all images of a batch, is no number then either.
    assert isinstance(loss, NCE) or np.isfinite(losses[0])
    for wrong in ([0.0, 1.0], [[0, 1], [2, 3]], [0, 1, 2], [0]):
        with pytest.raises(ValueError, match="indices"):
            compute(wrong)
    with pytest.raises(ValueError, match="bank's 5 columns"):
        loss(tf.ones([2, 1]), tf.constant([0, 1]), bank=bank, seed=seed)


def test_under_xla_a_wrong_batch_moves_no_row():
    bank = MemoryBank(N, DIM)
    before = weights_of(bank)

    @tf.function(jit_compile=True)
    def update(indices, embeddings):
        bank.update(indices, embeddings)

    update(tf.constant([1, N]), tf.constant(unit_rows(2)))
    update(tf.constant([1, 2]), tf.constant([[1.0] * DIM, [np.nan] * DIM]))
    assert_unchanged(bank, before)


def test_keras_column_of_indices_is_taken():
    losses = []
    for indices in (np.arange(N), np.arange(N)[:, None]):
        losses.append(float(small_model().train_on_batch(IMAGES, indices)))
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        (np.eye(N, dtype=np.int64), r"`indices` must be \[batch\]"),
        (np.arange(N) / 1.0, "`indices` must be integers"),
        (np.zeros(N, bool), "`indices` must be integers"),
        ({"a": np.arange(N)}, "`indices` must be one tensor"),
    ],
)
def test_batches_of_something_else_are_refused(indices, message):
    with pytest.raises(ValueError, match=message):
        small_model().fit(IMAGES, indices, verbose=0)


def test_a_batch_with_fewer_indices_than_images_is_refused():
    def pairs():
        yield IMAGES[:8], np.arange(1)

    shapes = tf.TensorSpec([None, 4, 4, 3], tf.uint8), tf.TensorSpec([None], tf.int64)
    dataset = tf.data.Dataset.from_generator(pairs, output_signature=shapes)
    with pytest.raises(ValueError, match=r"an index for each image.*8 images, 1 ind"):
        small_model().fit(dataset, verbose=0)


# Rows


@pytest.mark.parametrize("bank", BANKS)
@pytest.mark.parametrize(
    ("first", "rows"),
    [
        (0, np.ones(40)),
        (0, np.ones([1, 40])),
        (0, np.ones([2, 3])),
        (0, np.ones([2, 1])),
        (-1, np.ones([2, DIM])),
        (N - 1, np.ones([2, DIM])),
        (0.5, np.ones([2, DIM])),
        (0, np.full([2, DIM], np.nan)),
        (0, np.full([2, DIM], 1e300)),
        (0, np.ones([2, DIM], complex)),
        (0, np.full([2, DIM], "a")),
    ],
)
def test_rows_that_do_not_fit_are_not_written(bank, first, rows):
    bank = BANKS[bank]()
    before = weights_of(bank)
    with pytest.raises(ValueError, match="Received"):
        bank.write(first, rows)
    with pytest.raises(ValueError, match=r"`vectors` must be|finite|must be floats"):
        bank.assign(rows)
    assert_unchanged(bank, before)


def test_rows_read_beyond_the_last_are_refused():
    for make in BANKS.values():
        with pytest.raises(ValueError, match="Rows must be in"):
            make().read(N - 1, N + 1)


@pytest.mark.parametrize("bank", ["replicated", "sharded"])
@pytest.mark.parametrize(
    ("indices", "embeddings"),
    [
        ([0, 1], unit_rows(3)),
        ([0, 1], unit_rows(1)),
        ([0, 1], unit_rows(2, 1)),
        ([0, 1], np.ones(DIM, np.float32)),
        ([0, 1], np.ones([2, DIM], np.int64)),
        ([0.0, 1.0], unit_rows(2)),
        ([0, 1], np.full([2, DIM], np.nan, np.float32)),
    ],
)
def test_a_batch_that_does_not_fit_moves_no_row(bank, indices, embeddings):
    bank = BANKS[bank]()
    before = weights_of(bank)
    with pytest.raises(ValueError, match="must"):
        bank.update(indices, embeddings)
    assert_unchanged(bank, before)


@pytest.mark.parametrize("bank", ROWS_OF_CLASSIFIER)
def test_learned_rows_are_no_averages(bank):
    with pytest.raises(ValueError, match="follow the gradient"):
        BANKS[bank]().update([0], unit_rows(1))


@pytest.mark.parametrize("bank", ROWS_OF_CLASSIFIER)
def test_a_file_with_one_wrong_part_changes_none(bank):
    source, bank = BANKS[bank](), BANKS[bank]()
    before, whole = weights_of(bank), {}
    source.write(0, np.ones([N, DIM]))
    source.save_own_variables(whole)
    for name in whole:
        for wrong in (None, whole[name][:-1]):
            store = {k: v for k, v in whole.items() if k != name}
            if wrong is not None:
                store[name] = wrong
            with pytest.raises(ValueError, match="The file"):
                bank.load_own_variables(store)
            assert_unchanged(bank, before)


def test_files_of_another_dimension_are_refused(tmp_path):
    np.save(tmp_path / "rows-000000000000.npy", np.ones([N, 8], np.float32))
    with pytest.raises(ValueError, match=r"of another bank.*8 numbers.*Expected: 5"):
        read_bank(MemoryBank(N, DIM), tmp_path)


def test_an_encoder_of_another_dimension_writes_no_first_rows():
    bank, encoder = MemoryBank(N, DIM), small_encoder(DIM + 1)
    before = weights_of(bank)
    data = tf.data.Dataset.from_tensor_slices((IMAGES, np.arange(N))).batch(8)
    with pytest.raises(ValueError, match="`encoder` must give"):
        initialize_by_forward_pass(bank, encoder, data)
    moved = data.map(lambda images, indices: (images, indices - 1))
    with pytest.raises(ValueError, match=r"Indices must be .*-1 to 22"):
        initialize_by_forward_pass(bank, small_encoder(), moved)
    broken = data.map(lambda x, i: (tf.fill(tf.shape(x), float("nan")), i))
    with pytest.raises(ValueError, match="finite"):
        initialize_by_forward_pass(bank, small_encoder(), broken)
    assert_unchanged(bank, before)
