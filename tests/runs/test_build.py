"""The parts that flags name."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from npid_tf import losses
from npid_tf.errors import UserError
from npid_tf.protocols.labelled import layer_vectors
from npid_tf.runs import build, data
from npid_tf.runs.train import train
from npid_tf.runs.train_flags import TrainFlags

TINY = TrainFlags(image_size=8, width=4, embedding_dim=16)


@pytest.mark.parametrize(
    ("flag", "known"),
    [
        ("loss", ".*nonparametric_softmax, nce, .*instance_classifier"),
        ("negatives", "shared, per_sample"),
        ("precision", "float32, mixed_bfloat16, mixed_float16"),
        ("bank_init", "uniform, normal, forward, forward_centred"),
        ("backbone", "resnet18, .*vgg16, vgg16_bn, alexnet, alexnet_bn"),
        ("head", "linear, mlp"),
        ("schedule", "cosine, step"),
        ("optimizer", "sgd, muon"),
        ("bank_placement", "auto, replicated, sharded"),
        ("augmentation", "npid, npid_cifar, moco_v2, moco_v2_cifar, affine"),
        ("jitter", "hsv, yiq"),
    ],
)
def test_an_unknown_name_is_refused_with_the_known_ones(flag, known):
    with pytest.raises(UserError, match=f"Unknown {flag} 'typo'. Known: {known}"):
        dataclasses.replace(TINY, **{flag: "typo"})


@pytest.mark.parametrize(
    ("flag", "make"),
    [("dataset", data.build_source), ("eval_dataset", data.build_eval_source)],
)
def test_an_unknown_dataset_is_refused_with_the_known_ones(flag, make):
    config = dataclasses.replace(TINY, **{flag: "typo"})
    known = "digits, closeups, tfds:NAME, folder:DIR, npz:FILE"
    with pytest.raises(UserError, match=f"Unknown dataset 'typo'. Known: {known}"):
        make(config)


def test_a_folder_or_an_npz_file_need_no_kind(tmp_path):
    write_images(tmp_path / "images", ["a/1.png", "b/2.png"])
    np.savez(tmp_path / "some.npz", images=np.zeros([7, 8, 8], np.uint8))
    for name, count in (("images", 2), ("some.npz", 7)):
        config = dataclasses.replace(
            TINY, workdir=str(tmp_path / "run"), dataset=str(tmp_path / name)
        )
        assert data.build_source(config).num_instances == count


@pytest.mark.parametrize("dataset", ["digits:x", "npz:", "folder", "tfds"])
def test_a_dataset_without_its_name_or_with_one_too_many_is_refused(dataset):
    with pytest.raises(ValueError, match=f"Unknown dataset '{dataset}'"):
        data.build_source(dataclasses.replace(TINY, dataset=dataset))


@pytest.mark.parametrize(
    ("flags", "loss", "negatives"),
    [
        ({"loss": "nonparametric_softmax"}, losses.NonparametricSoftmax, None),
        ({"loss": "nce"}, losses.NCE, losses.SharedNegatives),
        ({"loss": "instance_classifier"}, losses.InstanceCrossEntropy, None),
        (
            {"loss": "sampled_softmax", "negatives": "per_sample"},
            losses.SampledSoftmax,
            losses.PerSampleNegatives,
        ),
    ],
)
def test_the_loss_is_the_one_that_is_named(flags, loss, negatives):
    config = dataclasses.replace(TINY, num_negatives=5, temperature=0.2, **flags)
    built = build.build_model(config, 10).instance_loss
    assert type(built) is loss
    assert built.temperature == 0.2
    assert negatives is None or type(built.negatives) is negatives


def test_the_parts_of_a_model_are_those_of_the_flags():
    config = dataclasses.replace(
        TINY,
        head="mlp",
        head_batch_norm=True,
        bank_momentum=0.25,
        proximal_weight=3.0,
        weight_decay=0.125,
        precision="mixed_bfloat16",
    )
    model = build.build_model(config, 10)
    assert model.bank.vectors.shape == (10, 16)
    assert model.bank.momentum == 0.25
    assert (model.proximal_weight, model.weight_decay) == (3.0, 0.125)
    assert model.encoder.get_layer("head_batch_norm").compute_dtype == "bfloat16"
    embeddings = model.encoder(np.zeros([2, 8, 8, 3], np.uint8))
    assert embeddings.dtype == "float32"


def test_the_parts_of_a_classifier_are_those_of_the_flags():
    config = dataclasses.replace(
        TINY,
        loss="instance_classifier",
        label_smoothing=0.25,
        smoothing_neighbors=3,
        row_learning_rate=5.0,
        sgd_momentum=0.8,
        weight_decay=0.125,
    )
    model = build.build_model(config, 10)
    assert model.bank.neighbors.shape == (10, 3)
    assert (model.bank.momentum, model.bank.weight_decay) == (0.8, 0.125)
    assert (model.row_learning_rate, model.instance_loss.smoothing) == (5.0, 0.25)


@pytest.mark.parametrize(
    ("flag", "value", "expected"),
    [
        ("bank_placement", "replicated", "auto or sharded"),
        ("bank_dtype", "bfloat16", "float32"),
        ("proximal_weight", 0.5, "0.0"),
    ],
)
def test_what_a_classifier_does_not_have_is_refused(flag, value, expected):
    config = dataclasses.replace(TINY, loss="instance_classifier", **{flag: value})
    with pytest.raises(ValueError, match=f"needs `{flag}` to be {expected}. Received"):
        build.build_model(config, 10)


def test_recent_negatives_make_recent_rows():
    config = dataclasses.replace(
        TINY, loss="instance_classifier", batch_size=4, recent_negatives=6
    )
    model = build.build_model(config, 10)
    assert model.bank.num_recent == 6
    assert model.bank.velocity.shape == (10, 16)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"label_smoothing": 0.2}, "`label_smoothing` do not go together"),
        ({"recent_negatives": 3}, "recent_negatives=3, batch_size=4, 10 images"),
        ({"recent_negatives": 11}, "recent_negatives=11, batch_size=4, 10 images"),
    ],
)
def test_recent_negatives_that_cannot_be_are_refused(changes, expected):
    flags = {"loss": "instance_classifier", "batch_size": 4, "recent_negatives": 6}
    config = dataclasses.replace(TINY, **{**flags, **changes})
    with pytest.raises(ValueError, match=expected):
        build.build_model(config, 10)


def test_fresh_encoders_are_equal_for_a_seed_and_differ_for_another():
    first, again, other = (
        build.build_fresh_encoder(dataclasses.replace(TINY, seed=seed)).get_weights()
        for seed in (1, 1, 2)
    )
    for weight, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(weight, same)
    assert any((weight != new).any() for weight, new in zip(first, other, strict=True))


def test_the_rate_drops_at_its_epoch_also_where_batches_are_accumulated():
    config = dataclasses.replace(
        TINY,
        learning_rate=1.0,
        epochs=10,
        decay_epochs=(4,),
        sgd_momentum=0.5,
        accumulation_steps=2,
    )
    optimizer = build.build_optimizer(config, steps_per_epoch=3)
    assert (optimizer.momentum, optimizer.gradient_accumulation_steps) == (0.5, 2)
    weight = keras.Variable([0.0])
    rates = []
    for _ in range(5 * 3):
        rates.append(float(optimizer.learning_rate))
        optimizer.apply([tf.ones([1])], [weight])
    np.testing.assert_allclose(rates, [1.0] * 4 * 3 + [0.1] * 3)


def test_images_to_classify_come_from_eval_split_or_eval_dataset(tmp_path):
    path = str(tmp_path / "some.npz")
    np.savez(path, images=np.zeros([7, 8, 8], np.uint8))

    def num_evaluated(**flags):
        source = data.build_eval_source(dataclasses.replace(TINY, **flags))
        return source and source.num_instances

    assert num_evaluated() is None
    assert num_evaluated(eval_split="test[:9]") == 9
    assert num_evaluated(eval_dataset=f"npz:{path}") == 7
    assert num_evaluated(eval_dataset=f"npz:{path}", eval_split="train[:3]") == 3


def write_images(directory, names):
    for name in names:
        file = tf.io.encode_png(np.zeros([8, 8, 3], np.uint8))
        tf.io.write_file(str(directory / name), file)


def test_images_to_classify_may_change(tmp_path):
    folder = tmp_path / "images"
    write_images(folder, ["a/1.png", "b/2.png"])
    config = dataclasses.replace(
        TINY,
        workdir=str(tmp_path / "run"),
        dataset=f"folder:{folder}",
        eval_dataset=f"folder:{folder}",
    )
    data.keep_data(config, data.build_source(config))
    data.build_eval_source(config)
    write_images(folder, ["b/3.png"])
    assert data.build_eval_source(config).num_instances == 3


def test_a_run_that_was_refused_binds_nothing(tmp_path):
    folder = tmp_path / "images"
    write_images(folder, ["a/1.png", "b/2.png"])
    config = dataclasses.replace(
        TINY, workdir=str(tmp_path / "run"), dataset=f"folder:{folder}", batch_size=99
    )
    with pytest.raises(UserError, match="batch_size"):
        train(config)
    assert not (tmp_path / "run" / "manifests").exists()
    data.keep_data(config, data.build_source(config))  # Killed before it saved.
    write_images(folder, ["b/3.png"])
    assert data.build_source(config).num_instances == 3


def test_looking_for_a_run_that_moved_makes_no_folder(tmp_path):
    write_images(tmp_path / "images", ["a/1.png", "b/2.png"])
    config = dataclasses.replace(
        TINY, workdir=str(tmp_path / "old"), dataset=f"folder:{tmp_path}/images"
    )
    with pytest.raises(UserError, match="nothing is trained there"):
        build.load_trained(config, data.build_source(config))
    assert not (tmp_path / "old").exists()


def test_two_folders_of_equal_names_and_sizes_have_their_own_vectors(
    trained_workdir, tmp_path
):
    image = np.random.default_rng(0).integers(0, 256, [2, 8, 8, 3], np.uint8)
    for name, each in zip(("train", "test"), image, strict=True):
        (tmp_path / name / "a").mkdir(parents=True)
        Image.fromarray(each).save(tmp_path / name / "a" / "1.bmp")
    config = dataclasses.replace(
        trained_workdir,
        workdir=str(tmp_path / "run"),
        eval_dataset=f"folder:{tmp_path}/train",
    )
    other = dataclasses.replace(config, eval_dataset=f"folder:{tmp_path}/test")
    encoder = build.build_fresh_encoder(config)
    first, second = (
        layer_vectors(each, encoder, data.build_eval_source(each), ("embedding",))
        for each in (config, other)
    )
    assert not np.allclose(first["embedding"], second["embedding"])


def test_a_class_has_one_number_in_all_parts_of_a_folder(tmp_path):
    write_images(tmp_path, ["a/1.png", "b/2.png", "c/3.png", "c/4.png"])
    config = dataclasses.replace(
        TINY,
        workdir=str(tmp_path / "run"),
        dataset=f"folder:{tmp_path}",
        split="train[:50%]",
        eval_split="train[50%:]",
    )
    source, eval_source = data.build_source(config), data.build_eval_source(config)
    assert (list(source.labels), list(eval_source.labels)) == ([0, 1], [2, 2])
    assert source.class_names == eval_source.class_names == ("a", "b", "c")


def test_corrupt_files_are_left_out_where_the_flag_says_so(tmp_path):
    write_images(tmp_path, ["a/1.png", "b/2.png"])
    (tmp_path / "a" / "broken.png").write_bytes(b"not an image")
    config = dataclasses.replace(
        TINY, workdir=str(tmp_path / "run"), dataset=f"folder:{tmp_path}"
    )
    with pytest.raises(ValueError, match=r"broken.png.*--skip_corrupt"):
        data.build_source(config)
    config = dataclasses.replace(config, skip_corrupt=True)
    assert data.build_source(config).num_instances == 2


def test_a_trained_model_has_the_weights_and_bank_of_its_checkpoint(trained_workdir):
    source = data.build_source(trained_workdir)
    trained = build.load_trained(trained_workdir, source)
    fresh = build.build_model(trained_workdir, source.num_instances)
    assert int(trained.step) == 4
    assert (trained.bank.numpy() != fresh.bank.numpy()).any(axis=1).all()
    norms = np.linalg.norm(trained.bank.vectors, axis=1)
    np.testing.assert_allclose(norms, 1, atol=1e-5)


def test_a_trained_encoder_needs_neither_data_nor_bank(trained_workdir, tmp_path):
    config = dataclasses.replace(trained_workdir, dataset="npz:gone")
    encoder = build.load_trained_encoder(config)
    model = build.load_trained(trained_workdir, data.build_source(trained_workdir))
    for expected, found in zip(model.encoder.variables, encoder.variables, strict=True):
        np.testing.assert_array_equal(found.numpy(), expected.numpy())
    with pytest.raises(ValueError, match=r"No checkpoint in .*npid train"):
        build.load_trained_encoder(dataclasses.replace(config, workdir=str(tmp_path)))


def test_a_trained_model_of_other_shapes_is_refused(trained_workdir):
    config = dataclasses.replace(trained_workdir, embedding_dim=8)
    with pytest.raises(ValueError, match="is of another model"):
        build.load_trained(config, data.build_source(config))


def test_other_kinds_of_data_are_refused_as_before(trained_workdir):
    config = dataclasses.replace(trained_workdir, split="train[:128]")
    with pytest.raises(UserError, match="num_instances was 256, now 128"):
        build.load_trained(config, data.build_source(config))
