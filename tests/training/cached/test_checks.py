import pytest

from tlj.errors import InputError

ON = {"activations": "float32"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cache": ON, "data": {"augment": {"shift": 1}}}, "shift makes other inputs.*config.cache.views=4"),
        ({"cache": ON | {"views": 2}, "data": {"augment": {"shift": 0}}}, "config.cache.views: without augmentation"),
        ({"cache": {"views": 2}, "data": {"augment": {"shift": 1}}}, "no activations are kept"),
        ({"cache": ON | {"views": 2}, "data": {"augment": {"mixup": 0.2}}}, "mixup makes one example of two"),
    ],
)
def test_what_cannot_be_kept_is_one_clear_line(tiny_run, changes, message):
    with pytest.raises(InputError, match=message):
        tiny_run(strategy="linear_probe", init="scratch", **changes)


def test_an_arm_that_has_nothing_to_keep_trains_as_ever(tiny_run):
    assert tiny_run(strategy="scratch", cache=ON, data={"augment": {"shift": 1}}).cached is None
    assert tiny_run(strategy="linear_probe", init="scratch", cache=ON | {"views": 2}).cached is None
