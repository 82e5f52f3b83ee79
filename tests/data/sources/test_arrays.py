"""Arrays and .npz files become sources, and wrong ones are told of."""

import numpy as np
import pytest

from npid_tf.data.sources.arrays import from_arrays, load_npz, split_indices

IMAGES = np.random.default_rng(0).integers(0, 256, (10, 4, 5, 3), dtype=np.uint8)
LABELS = np.arange(10) % 3


def records(source):
    return np.stack([source.record(handle) for _, handle in source.in_order()])


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_colour_become_three_channels(channels):
    images = np.random.default_rng(1).integers(0, 256, (2, 3, 3, channels), np.uint8)
    expected = images[..., [0, 0, 0] if channels == 1 else [0, 1, 2]]
    np.testing.assert_array_equal(records(from_arrays(images)), expected)


def test_what_is_transparent_lies_on_white():
    images = np.random.default_rng(1).integers(0, 256, (2, 3, 3, 4), np.uint8)
    colors, alpha = images[..., :3].astype(float), images[..., 3:] / 255
    expected = colors * alpha + 255 * (1 - alpha)
    np.testing.assert_allclose(records(from_arrays(images)), expected, atol=1)


def test_images_without_channels_are_grey():
    source = from_arrays(IMAGES[..., 0])
    np.testing.assert_array_equal(records(source)[..., 2], IMAGES[..., 0])


def test_shuffled_images_keep_their_index():
    source = from_arrays(IMAGES)
    for index, handle in source.shuffled(5, 6):
        np.testing.assert_array_equal(source.record(handle), IMAGES[index])


def test_many_indices_are_read_at_once():
    source = from_arrays(IMAGES)
    assert source.image_shape == (4, 5)
    np.testing.assert_array_equal(source.record(np.array([7, 2])), IMAGES[[7, 2]])


@pytest.mark.parametrize(
    "images",
    [
        IMAGES.astype(np.float32),
        IMAGES.astype(np.int64),
        IMAGES[..., :2],
        IMAGES[0, 0],
        IMAGES[None],
    ],
)
def test_other_dtypes_and_shapes_are_refused(images):
    with pytest.raises(ValueError, match="must be uint8") as raised:
        from_arrays(images)
    assert f"{images.dtype} {list(images.shape)}" in str(raised.value)


@pytest.mark.parametrize("labels", [LABELS[:9], LABELS.reshape(2, 5), LABELS / 2])
def test_labels_must_be_one_integer_per_image(labels):
    with pytest.raises(ValueError, match=r"`labels` must be integers \[10\]"):
        from_arrays(IMAGES, labels)


def test_no_images_are_refused():
    with pytest.raises(ValueError, match="nothing holds no images"):
        from_arrays(IMAGES[:0], name="nothing")


def test_fingerprint_follows_the_pixels():
    changed = IMAGES.copy()
    changed[3, 0, 0, 0] ^= 1
    assert from_arrays(IMAGES).fingerprint == from_arrays(IMAGES.copy()).fingerprint
    assert from_arrays(IMAGES).fingerprint != from_arrays(changed).fingerprint


@pytest.mark.parametrize(
    ("split", "part"),
    [
        ("train", slice(None)),
        ("train[:80%]", slice(8)),
        ("train[80%:]", slice(8, None)),
        ("train[2:5]", slice(2, 5)),
        ("train[-1:]", slice(9, None)),
    ],
)
def test_npz_round_trip(tmp_path, split, part):
    path = tmp_path / "images.npz"
    np.savez(path, images=IMAGES, labels=LABELS)
    source = load_npz(path, split)
    np.testing.assert_array_equal(records(source), IMAGES[part])
    np.testing.assert_array_equal(source.labels, LABELS[part])
    assert source.num_instances == len(IMAGES[part])


def test_npz_without_labels(tmp_path):
    np.savez_compressed(tmp_path / "images.npz", images=IMAGES)
    assert load_npz(str(tmp_path / "images.npz"), "train").labels is None


def test_an_image_may_have_several_classes(tmp_path):
    targets = np.random.default_rng(0).integers(-1, 2, [10, 3])
    np.savez(tmp_path / "images.npz", images=IMAGES, targets=targets)
    source = load_npz(str(tmp_path / "images.npz"), "train[4:]")
    assert source.labels is None
    np.testing.assert_array_equal(source.targets, targets[4:])


@pytest.mark.parametrize(
    "targets", [np.full([10, 3], 2), np.zeros([9, 3], int), np.zeros(10, int)]
)
def test_targets_must_be_a_row_of_signs_per_image(targets):
    with pytest.raises(ValueError, match=r"`targets` must be 1, 0 or -1, \[10, num_cl"):
        from_arrays(IMAGES, targets=targets)


def test_missing_npz_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"No file .*absent\.npz"):
        load_npz(tmp_path / "absent.npz", "train")


def npz_bytes(tmp_path, **arrays):
    np.savez(tmp_path / "good.npz", **arrays)
    return (tmp_path / "good.npz").read_bytes()


def npy_bytes(tmp_path):
    np.save(tmp_path / "good.npy", IMAGES)
    return (tmp_path / "good.npy").read_bytes()


@pytest.mark.parametrize(
    "content",
    [
        lambda tmp_path: b"",
        lambda tmp_path: b"no archive",
        npy_bytes,
        lambda tmp_path: npz_bytes(tmp_path, pictures=IMAGES),
        lambda tmp_path: npz_bytes(tmp_path, images=IMAGES)[:-100],
        lambda tmp_path: npz_bytes(tmp_path, images=IMAGES).replace(
            IMAGES[0].tobytes(), IMAGES[1].tobytes()
        ),
        lambda tmp_path: npz_bytes(tmp_path, images=np.array([{}], object)),
    ],
    ids=["empty", "text", "npy", "no_images", "cut", "broken", "objects"],
)
def test_what_is_no_npz_with_images_is_named(tmp_path, content):
    path = tmp_path / "bad.npz"
    path.write_bytes(content(tmp_path))
    with pytest.raises(ValueError, match=r"bad\.npz must be an \.npz file"):
        load_npz(path, "train")


@pytest.mark.parametrize("split", ["train", "train[:5]"])
def test_npz_with_another_number_of_labels_is_refused(tmp_path, split):
    np.savez(tmp_path / "images.npz", images=IMAGES, labels=np.arange(12))
    with pytest.raises(ValueError, match="one label per image"):
        load_npz(tmp_path / "images.npz", split)


@pytest.mark.parametrize("split", ["", "tset", "train[", "train[:11]", "train[x:]"])
def test_unknown_splits_list_the_known_ones(split):
    with pytest.raises(ValueError, match="Known: train, test"):
        split_indices({"train": 10, "test": 5}, split)


@pytest.mark.parametrize("split", ["train[:0]", "train[5:5]", "train[:1%]"])
def test_empty_splits_are_refused(split):
    with pytest.raises(ValueError, match="holds no images"):
        split_indices({"train": 10}, split)


def test_two_splits_at_once_are_refused():
    with pytest.raises(ValueError, match="must name one part"):
        split_indices({"train": 10, "test": 5}, "train+test")
