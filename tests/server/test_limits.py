"""What a request may ask for."""

import pytest

from npid_tf.server.limits import Limits, RequestError, abridged


@pytest.mark.parametrize(("number", "status"), [(0, 400), (65, 413)])
def test_too_few_and_too_many_images_are_refused(number, status):
    with pytest.raises(RequestError, match=f"1 to 64 images. Received: {number}") as e:
        Limits().check_num_images(number)
    assert e.value.status == status
    Limits().check_num_images(64)


@pytest.mark.parametrize("k", [0, -1, 1001, 10**400, 2.0, "3", None, True, [1]])
def test_k_must_be_a_whole_number_within_bounds(k):
    with pytest.raises(RequestError, match=r"`k` must be a whole number in \[1, 1000"):
        Limits().check_k(k)
    Limits(k=2000).check_k(2000)


def test_messages_do_not_repeat_what_is_long():
    assert abridged(5) == "5"
    assert abridged("x" * 10**6) == "x" * 77 + "..."
