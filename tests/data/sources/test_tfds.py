"""Prepared TFDS data sets: in memory, from their files, and what cannot be read."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from npid_tf.data.decode import decode
from npid_tf.data.sources.records import find_records
from npid_tf.data.sources.tfds import TfdsStream, load_tfds
from npid_tf.errors import UserError


def numbers(stream, dataset, images):
    """Which of `images` each record is, by the index under which it came."""
    known = {image.tobytes(): number for number, image in enumerate(images)}
    return {
        int(index): known[decode(stream.record(handle)).numpy().tobytes()]
        for index, handle in dataset
    }


def indices(dataset):
    return [int(index) for index, _ in dataset]


def order_in_files(tfds_dir, split, images):
    """Which of `images` TFDS itself reads, one file after the other."""
    dataset = tfds.load(
        "tiny:1.0.0",
        split=split,
        data_dir=tfds_dir,
        read_config=tfds.ReadConfig(interleave_cycle_length=1),
    )
    known = {image.tobytes(): number for number, image in enumerate(images)}
    return [known[example["image"].numpy().tobytes()] for example in dataset]


@pytest.mark.parametrize("split", ["train", "train[35%:85%]", "train[3:4]"])
def test_indices_are_positions_in_the_split(tfds_dir, images, split):
    stream = load_tfds("tiny", split, tfds_dir)
    expected = order_in_files(tfds_dir, split, images)
    assert isinstance(stream, TfdsStream)
    assert stream.num_instances == len(expected)
    assert indices(stream.in_order()) == list(range(len(expected)))
    in_order = numbers(stream, stream.in_order(), images)
    assert list(in_order.values()) == expected
    assert stream.labels.tolist() == [number % 3 for number in expected]
    assert stream.class_names == ("ant", "bee", "cat")
    shuffled = stream.shuffled(0, 0)
    assert numbers(stream, shuffled, images) == in_order
    assert len(indices(shuffled)) == len(expected)


def test_orders_are_repeatable_and_differ_between_epochs_and_seeds(tfds_dir):
    def orders():
        stream = load_tfds("tiny", "train", tfds_dir)
        return [
            tuple(indices(stream.shuffled(seed, epoch)))
            for seed, epoch in [(0, 0), (0, 1), (2**40, 0)]
        ]

    first = orders()
    assert len(set(first)) == 3
    # A restarted program may have another global seed.
    tf.random.set_seed(1234)
    assert orders() == first


def test_records_mix_across_files(tfds_dir):
    stream = load_tfds("tiny", "train", tfds_dir)
    files = np.array([index // 5 for index in indices(stream.shuffled(0, 0))])
    assert len(set(files[:10])) > 2


def test_read_gives_the_record_of_an_index(tfds_dir):
    stream = load_tfds("tiny", "train[4:14]", tfds_dir)
    records = [stream.record(handle) for _, handle in stream.in_order()]
    for index in (0, 6):
        assert stream.read(tf.constant(index, tf.int64)) == records[index]


def test_fingerprint_tells_parts_apart(tfds_dir):
    first, second, again = (
        load_tfds("tiny", split, tfds_dir).fingerprint
        for split in ("train[:10]", "train[10:]", "train[:10]")
    )
    assert first == again != second


@pytest.fixture(scope="module")
def odd_dir(tmp_path_factory):
    """Data sets without images, and with labels that are no classes."""
    directory = tmp_path_factory.mktemp("odd")
    image = tfds.features.Image(shape=(4, 4, 1), encoding_format="png")
    zeros = np.zeros((4, 4, 1), np.uint8)
    for name, features, example in (
        ("text_only", {"text": tfds.features.Text()}, {"text": "a"}),
        (
            "scored",
            {"image": image, "label": np.float32},
            {"image": zeros, "label": 0.5},
        ),
        ("bare", {"image": image}, {"image": zeros}),
    ):
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            version="1.0.0",
            features=tfds.features.FeaturesDict(features),
            split_datasets={"train": [(0, example), (1, example)]},
            data_dir=directory,
        )
    return str(directory)


@pytest.mark.parametrize("name", ["scored", "bare"])
def test_small_images_without_classes_are_read_into_memory(odd_dir, name):
    source = load_tfds(name, "train", odd_dir)
    assert (source.num_instances, source.labels, source.class_names) == (2, None, None)
    assert source.read(1).shape == (4, 4, 3)


def test_a_data_set_without_images_is_refused(odd_dir):
    with pytest.raises(ValueError, match=r"text_only has no feature `image`.*text"):
        load_tfds("text_only", "train", odd_dir)


def test_an_unknown_name_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Unknown TFDS data set 'cifar11'"):
        load_tfds("cifar11", "train", str(tmp_path))


def test_an_unprepared_data_set_says_how_to_prepare_it(tmp_path):
    with pytest.raises(ValueError, match=r"mnist is not prepared.*tfds build mnist"):
        load_tfds("mnist", "train", str(tmp_path))


@pytest.mark.parametrize("split", ["test", "train[:21]", "train[", ""])
def test_an_unknown_split_lists_the_known_ones(tfds_dir, split):
    with pytest.raises(ValueError, match="Known: train, and parts"):
        load_tfds("tiny", split, tfds_dir)


def test_an_empty_part_is_refused(tfds_dir):
    with pytest.raises(ValueError, match="holds no images"):
        load_tfds("tiny", "train[:1%]", tfds_dir)


def cifar10_labels(split, directory):
    dataset = tfds.load(
        "cifar10",
        split=split,
        data_dir=directory,
        decoders={"image": tfds.decode.SkipDecoding()},
    )
    return np.concatenate([batch["label"] for batch in dataset.batch(1000)])


@pytest.mark.parametrize(("split", "count"), [("train", 50_000), ("test", 10_000)])
def test_cifar10_is_read_into_memory_in_the_order_of_its_files(
    cifar10_dir, split, count
):
    source = load_tfds("cifar10", split, cifar10_dir)
    assert source.num_instances == count
    assert source.class_names[0] == "airplane"
    np.testing.assert_array_equal(source.labels, cifar10_labels(split, cifar10_dir))


def test_a_part_of_cifar10_is_the_start_of_the_whole(cifar10_dir):
    source = load_tfds("cifar10", "train[:1%]", cifar10_dir)
    assert source.num_instances == 500
    assert source.read(499).shape == (32, 32, 3)
    builder = tfds.builder("cifar10", data_dir=cifar10_dir)
    stream = TfdsStream(builder, "train[:1%]")
    np.testing.assert_array_equal(source.labels, stream.labels)
    for index, handle in stream.in_order().take(50):
        # In memory the pixels are TFDS's, whose decoder of JPEG is another.
        image = tf.io.decode_image(stream.record(handle), channels=3)
        np.testing.assert_array_equal(image, source.read(index))


def test_an_image_may_have_several_classes_as_in_voc(images, tmp_path):
    several = tfds.features.Sequence(tfds.features.ClassLabel(names=["ant", "bee"]))
    everything = [[], [0], [1], [0, 1], [0, 1]]
    easy = [[], [0], [], [1], [0, 1]]
    examples = [
        (i, {"image": images[i], "labels": a, "labels_no_difficult": b})
        for i, (a, b) in enumerate(zip(everything, easy, strict=True))
    ]
    tfds.dataset_builders.store_as_tfds_dataset(
        name="several",
        version="1.0.0",
        features=tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(encoding_format="png"),
                "labels": several,
                "labels_no_difficult": several,
            }
        ),
        split_datasets={"train": examples},
        data_dir=tmp_path,
    )
    stream = load_tfds("several", "train", str(tmp_path))
    in_order = numbers(stream, stream.in_order(), images)
    expected = np.array([[0, 0], [1, 0], [0, -1], [-1, 1], [1, 1]])
    np.testing.assert_array_equal(stream.targets, expected[list(in_order.values())])
    assert stream.labels is None
    assert stream.class_names == ("ant", "bee")
    part = load_tfds("several", "train[2:]", str(tmp_path))
    np.testing.assert_array_equal(part.targets, stream.targets[2:])


@pytest.fixture
def copied_dir(tfds_dir, tmp_path):
    """A copy of the data_dir whose first file has a damaged record at its beginning."""
    shutil.copytree(tfds_dir, tmp_path / "tfds")
    path = min((tmp_path / "tfds").rglob("*.tfrecord*"))
    content = bytearray(path.read_bytes())
    content[12:40] = bytes(28)  # Of the record's bytes, behind its header.
    path.write_bytes(content)
    return str(tmp_path / "tfds")


def test_an_image_is_read_without_those_before_it(tfds_dir, copied_dir, tmp_path):
    expected = load_tfds("tiny", "train", tfds_dir)
    (tmp_path / "run").mkdir()
    builder = tfds.builder("tiny", data_dir=copied_dir)
    with pytest.raises(tf.errors.DataLossError):
        TfdsStream(builder, "train")  # Labels are read from all.
    stream = object.__new__(TfdsStream)
    parts = builder.info.splits["train"].file_instructions
    stream.records = find_records([(p.filename, p.skip, p.take) for p in parts])
    records = [expected.record(handle) for _, handle in expected.in_order()]
    for index in (1, 4, 7, 19):
        assert stream.read(tf.constant(index, tf.int64)) == records[index]


def test_labels_are_read_once(tfds_dir, tmp_path):
    (tmp_path / "run").mkdir()
    tables = tmp_path / "run" / "contents"
    first = load_tfds("tiny", "train", tfds_dir, str(tables))
    (path,) = tables.iterdir()
    with np.load(path) as file:
        columns = dict(file)
    columns["labels"] = columns["labels"][::-1]
    np.savez(path, **columns)
    again = load_tfds("tiny", "train", tfds_dir, str(tables))
    np.testing.assert_array_equal(again.labels, first.labels[::-1])
    assert again.fingerprint == first.fingerprint
    path.write_bytes(path.read_bytes()[:-50])
    again = load_tfds("tiny", "train", tfds_dir, str(tables))
    np.testing.assert_array_equal(again.labels, first.labels)


def test_equal_names_of_other_contents_are_told_apart(images, tmp_path, tfds_dir):
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(encoding_format="png"),
            "label": tfds.features.ClassLabel(names=["ant", "bee", "cat"]),
        }
    )
    tfds.dataset_builders.store_as_tfds_dataset(
        name="tiny",
        version="1.0.0",
        features=features,
        split_datasets={
            "train": [(i, {"image": image[::-1], "label": i % 3})
                      for i, image in enumerate(images)]
        },
        data_dir=tmp_path,
        download_config=tfds.download.DownloadConfig(num_shards=4),
    )  # fmt: skip
    first, second = (
        load_tfds("tiny", "train", str(directory)).fingerprint
        for directory in (tfds_dir, tmp_path)
    )
    assert first["name"] == second["name"]
    assert first != second


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("tiny:9.9.9", "tiny:1.0.0"),
        ("tiny/large", "tiny:1.0.0"),
        ("mnist:9.9.9", "mnist:3.0.1"),
        ("imagenet2012_subset/7pct", "imagenet2012_subset/10pct"),
        ("cifar11", "cifar10"),
        ("tiny:", "tiny:1.0.0"),
        ("no:such:name", "catalog"),
    ],
)
def test_wrong_versions_configs_and_names_list_the_known_ones(tfds_dir, name, told):
    with pytest.raises(UserError, match=f"Unknown TFDS data set.*{told}") as raised:
        load_tfds(name, "train", tfds_dir)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_cut_is_named(tfds_dir, tmp_path):
    shutil.copytree(tfds_dir, tmp_path / "tfds")
    path = max((tmp_path / "tfds").rglob("*.tfrecord*"))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=f"{path.name} is cut or damaged"):
        load_tfds("tiny", "train", str(tmp_path / "tfds"))
