"""Classes come of folders, of a CSV file, or are none."""

import os

import pytest

from npid_tf.data.sources import Place, load_source
from npid_tf.errors import UserError


def load(folder, labels):
    return load_source(str(folder), "train", Place(labels=str(labels)))


def test_sub_folders_may_be_no_classes(trip):
    source = load(trip[0], "none")
    assert (source.labels, source.class_names) == (None, None)


def test_a_csv_file_tells_the_classes(trip, tmp_path):
    folder, _ = trip
    name = os.fsdecode(b"caf\xe9")
    lines = [
        "\ufeffpath,class",
        "sea/1.png,blue",
        f"{folder}/sea/deep/2.PNG,{name}",
        '"wood/3.png","a, b"',
        "wood/4.png,blue",
        "elsewhere.png,red",
    ]
    path = tmp_path / "labels.csv"
    path.write_bytes(os.fsencode("\n".join(lines)))
    source = load(folder, path)
    assert source.class_names == ("a, b", "blue", name)
    assert source.labels.tolist() == [1, 2, 0, 1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sea/1.png,blue", r"3 of 4 images have no line.*sea/deep/2\.PNG.*PATH,CLASS"),
        ("sea/1.png,blue,1", "Line 1 of .* has 3 columns"),
        ("sea/1.png,blue\nsea/1.png,red", r"two classes of sea/1\.png \(line 2\)"),
    ],
)
def test_a_csv_file_that_does_not_fit_is_refused(trip, tmp_path, text, told):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(UserError, match=told):
        load(trip[0], tmp_path / "labels.csv")


def test_unknown_labels_list_the_known_ones(trip, tmp_path):
    with pytest.raises(UserError, match=r"'leaf'. Known: folder, none, FILE\.csv"):
        load(trip[0], "leaf")
    with pytest.raises(UserError, match=r"absent\.csv cannot be read"):
        load(trip[0], tmp_path / "absent.csv")


def test_a_stray_picture_is_said_and_how_to_go_on(trip, put):
    folder, _ = trip
    put(folder / "stray.png")
    with pytest.warns(UserWarning, match=r"1 lie beside its 2 .*stray.*--labels=none"):
        assert load(folder, "folder").labels is None
    assert load(folder, "none").num_instances == 5


def test_data_with_labels_of_their_own_may_do_without():
    assert load("digits", "folder").labels is not None
    assert load("digits", "none").labels is None
    with pytest.raises(UserError, match=r"files alone.*labels=a\.csv, for digits"):
        load("digits", "a.csv")
