"""Parts of data have their share of every class, and are those they always were."""

import json

import numpy as np
import pytest

from npid_tf.data.sources.arrays import from_arrays
from npid_tf.data.sources.source import check_unchanged, with_classes_of
from npid_tf.data.sources.splits import choose
from npid_tf.errors import UserError
from npid_tf.runs import data
from npid_tf.runs.train_flags import TrainFlags

SORTED = np.repeat(np.arange(4), [20, 5, 8, 2])


@pytest.mark.parametrize("at", [30, 50, 75, 80])
@pytest.mark.parametrize(
    "order", [np.arange(35), np.random.default_rng(0).permutation(35)]
)
def test_two_parts_have_every_class_and_each_image_once(at, order):
    labels = SORTED[order]
    parts = [choose(35, f"train[{side}]", labels) for side in (f":{at}%", f"{at}%:")]
    for part in parts:
        assert set(labels[part]) == {0, 1, 2, 3}
        assert (np.diff(part) > 0).all()
    assert sorted(np.concatenate(parts)) == list(range(35))
    counts = np.bincount(labels[parts[0]]) / [20, 5, 8, 2]
    np.testing.assert_allclose(counts[[0, 2]], at / 100, atol=0.13)
    np.testing.assert_array_equal(parts[0], choose(35, f"train[:{at}%]", labels))


def test_a_class_of_one_image_is_learned():
    labels = np.array([0, 0, 0, 1, 2, 2, 2, 2])
    assert 3 in choose(8, "train[:50%]", labels)


def npz_config(tmp_path, **flags):
    images = np.random.default_rng(0).integers(0, 256, [35, 4, 4, 3], np.uint8)
    np.savez(tmp_path / "sorted.npz", images=images, labels=SORTED)
    return TrainFlags(
        workdir=str(tmp_path / "run"),
        dataset=f"npz:{tmp_path}/sorted.npz",
        split="train[:75%]",
        eval_split="train[75%:]",
        **flags,
    )


def test_a_sorted_file_is_judged_by_what_it_learned(tmp_path):
    config = npz_config(tmp_path)
    source, eval_source = data.build_source(config), data.build_eval_source(config)
    assert set(source.labels) == set(eval_source.labels) == {0, 1, 2, 3}


def test_runs_of_before_keep_their_parts(tmp_path):
    config = npz_config(tmp_path)
    checkpoint = tmp_path / "run" / "checkpoints" / "000000001"
    checkpoint.mkdir(parents=True)

    def save(fingerprint):
        (checkpoint / "state.json").write_text(json.dumps({"fingerprint": fingerprint}))

    whole = from_arrays(np.load(tmp_path / "sorted.npz")["images"][:26])
    old = {"name": "sorted.npz", "num_instances": 26}
    old["sha256"] = whole.fingerprint["sha256"]
    save(old)
    for _ in range(2):  # As it was saved before, and as it is saved now.
        source = data.build_source(config)
        check_unchanged(old, source.fingerprint)
        assert source.labels.tolist() == SORTED[:26].tolist()
        assert data.build_eval_source(config).labels.tolist() == SORTED[26:].tolist()
        save(source.fingerprint)


def source_of(labels, names=None):
    labels = np.array(labels)
    return from_arrays(np.zeros([len(labels), 2, 2, 3], np.uint8), labels, names)


def test_some_of_the_classes_are_numbered_as_in_training():
    source = source_of([0, 1, 2], ("ant", "bee", "cat"))
    judged = with_classes_of(source, source_of([1, 0, 1], ("ant", "cat")))
    assert judged.labels.tolist() == [2, 0, 2]
    assert judged.class_names == source.class_names
    with pytest.raises(UserError, match="must have the classes"):
        with_classes_of(source, source_of([0], ("dog",)))


def test_large_ids_are_numbered_alike():
    source = source_of([10**12, 7, 10**12])
    assert (source.labels.tolist(), source.class_names) == (
        [1, 0, 1],
        ("7", str(10**12)),
    )
    judged = with_classes_of(source, source_of([7, 7]))
    assert judged.labels.tolist() == [0, 0]
    with pytest.warns(UserWarning, match=r"1 of the 2 .* 1 classes .*: 8\."):
        judged = with_classes_of(source, source_of([8, 7]))
    assert judged.labels.tolist() == [2, 0]


def test_classes_that_were_not_learned_are_told_of():
    with pytest.warns(UserWarning, match=r"2 of the 3 images .* 1 classes .*: 3\. All"):
        with_classes_of(source_of([0, 1]), source_of([3, 3, 1]))


def test_labels_of_keras_are_those_of_its_images():
    assert source_of([[3], [1]]).labels.tolist() == [3, 1]


@pytest.mark.parametrize("label", [-1, 2**63])
def test_labels_that_are_none_are_refused(label):
    labels = np.array([0, label, 1], np.uint64 if label > 0 else np.int64)
    with pytest.raises(UserError, match=f"Received: {label} for image 1, 1 of 3"):
        source_of(labels)


@pytest.mark.parametrize("changed", ["labels", "shape", "pixels"])
def test_fingerprints_tell_arrays_apart(changed):
    images = np.arange(48, dtype=np.uint8).reshape(2, 2, 4, 3)
    labels = np.array([0, 1])
    first = from_arrays(images, labels).fingerprint
    if changed == "labels":
        labels = labels[::-1]
    elif changed == "shape":
        images = images.reshape(2, 4, 2, 3)
    else:
        images = images + np.uint8(1)
    assert from_arrays(images, labels).fingerprint != first
