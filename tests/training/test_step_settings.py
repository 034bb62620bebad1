"""What of a config is compiled into a step, and what of it cannot be."""

import warnings

import pytest

from tlj import config as configuration
from tlj.errors import InputError
from tlj.training.step_settings import check_dividing

RESNET = {
    "family": "resnet",
    "settings": {"stem": "cifar", "stem_width": 8, "stage_depths": (1,), "stage_widths": (8,)},
}


def config_of(**changes):
    return configuration.run_config(configuration.merge(configuration.default(), changes))


@pytest.mark.parametrize(
    ("batch", "parts", "devices", "divides"),
    [(16, 1, 8, True), (16, 2, 8, True), (16, 4, 8, False), (16, 3, 1, False), (24, 3, 8, True), (12, 3, 8, False)],
)
def test_each_device_gets_as_many_rows_of_every_part(batch, parts, devices, divides):
    config = config_of(global_batch_size=batch, optimizer={"accumulate": parts})
    if divides:
        return check_dividing(config, devices)
    message = f"config.optimizer.accumulate: a batch of {batch} does not divide into {parts} parts on each of {devices}"
    with pytest.raises(InputError, match=f"{message} .* a multiple of {devices * parts}, or use fewer parts"):
        check_dividing(config, devices)


@pytest.mark.parametrize(
    ("changes", "key"),
    [({"parallel": {"mode": "pmap"}}, "parallel.mode"), ({"optimizer": {"accumulate": 2}}, "optimizer.accumulate")],
)
def test_rows_that_hold_several_examples_are_divided_by_the_compiler_alone(changes, key):
    packed = {"text": {"batching": "packed"}}
    check_dividing(config_of(data=packed), 4)
    check_dividing(config_of(**changes), 4)
    with pytest.raises(InputError, match=f"config.{key}: rows of packed text .* cannot be divided by hand"):
        check_dividing(config_of(data=packed, **changes), 4)


def test_an_average_that_is_not_kept_cannot_be_evaluated(tiny_run):
    assert tiny_run(optimizer={"ema": 0.9}, evaluate={"ema": True}).settings.ema == 0.9
    with pytest.raises(InputError, match=r"config.evaluate.ema: .* none is kept; set config.optimizer.ema"):
        tiny_run(evaluate={"ema": True})


def test_batch_norm_in_parts_is_warned_of_unless_it_is_frozen(set_up_resnet):
    with pytest.warns(UserWarning, match="accumulate=4: BatchNorm sees 4 examples at a time"):
        set_up_resnet(optimizer={"accumulate": 4})
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        set_up_resnet()
        set_up_resnet(optimizer={"accumulate": 4}, groups={"backbone": {"norm_mode": "frozen"}})


@pytest.fixture
def set_up_resnet():
    """Sets up a ResNet that trains from scratch, on batches of 16."""
    import pathlib

    from tlj.training.setup import set_up

    def make(**changes):
        fixed = {"model": RESNET, "strategy": "scratch", "global_batch_size": 16}
        return set_up(config_of(**fixed, **changes), pathlib.Path())

    return make
