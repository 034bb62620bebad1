import json

import pytest

from tlj.benchmark.topology.facts import TooLarge
from tlj.benchmark.topology.forecast import Question, forecasts, scaling
from tlj.errors import InputError


@pytest.fixture
def question(program):
    """A run of two phases, the second three times as costly, and what the compiler was asked."""

    def make(global_batch=2048, per_chip=0, phases=(0, 1)):
        asked = []

        def config_of(slice_, batch):
            batch = batch or per_chip
            return {"global_batch_size": batch * slice_.chips if batch else global_batch}

        def ask(slice_, config, phase):
            each = config["global_batch_size"] // slice_.chips
            asked.append((slice_.name, each, phase))
            answer = program(each)
            return program(each, flops=1e11 * each / 3, bytes=3e8 * each, argument_bytes=0) if phase == 0 else answer

        found = Question(config_of, phases, ask)
        return found, asked

    return make


def test_a_slice_has_the_names_that_others_read_and_its_longest_phase_stands_for_it(question, chips):
    (row,) = forecasts(question()[0], [chips("v5e:4x4")])
    assert {
        "name", "chips", "fits", "hbm_bytes", "flops_per_chip", "bytes_per_chip", "all_reduce_bytes",
        "predicted_step_s", "bound", "max_batch_per_chip",
    } <= set(row)  # fmt: skip
    assert (row["name"], row["chips"], row["batch_per_chip"], row["phase"]) == ("v5e:4x4", 16, 128, 1)
    assert row["flops_per_chip"] == 128e11
    assert row["flops_per_example"] == 1e11
    assert row["hbm_bytes"] == sum(row["hbm"].values()) == (1024 + 12800) * 2**20
    assert (row["fits"], row["max_batch_per_chip"]) == (True, 144)
    assert row["predicted_step_s"] == pytest.approx(128e9 / 819e9)
    assert row["predicted_examples_per_s"] == pytest.approx(2048 / row["predicted_step_s"])
    assert [phase["flops_per_chip"] for phase in row["phases"]] == pytest.approx([128e11 / 3, 128e11])
    json.dumps(row, allow_nan=False)


def test_what_does_not_fit_says_what_it_needs_and_predicts_nothing(question, chips):
    (row,) = forecasts(question(per_chip=512)[0], [chips("v5e:2x2")])
    assert (row["fits"], row["predicted_step_s"], row["bound"], row["hbm"]) == (False, None, None, None)
    assert row["hbm_bytes"] == (1024 + 51200) * 2**20
    assert row["max_batch_per_chip"] == 144


def test_the_same_program_is_compiled_once_and_the_next_slice_looks_first_where_the_last_one_found(question, chips):
    asking, asked = question(per_chip=64)
    slices = [chips("v5e:4x4"), chips("v5e:8x8")]
    forecasts(asking, slices)
    scaling(asking, slices, 1)
    assert len(asked) == len(set(asked))
    # The second slice needs the batch asked for, the one that the first has found, and the strong scaling.
    of_second = [(batch, phase) for name, batch, phase in asked if name == "v5e:8x8"]
    assert of_second == [(64, 0), (64, 1), (144, 1), (16, 1)]


def test_a_batch_that_does_not_divide_is_refused_before_anything_is_compiled(question, chips):
    asking, asked = question(global_batch=100)
    with pytest.raises(InputError, match="a batch of 100 does not divide over the 16 chips of v5e:4x4") as refused:
        forecasts(asking, [chips("v5e:2x2"), chips("v5e:4x4")])
    assert "config.parallel.batch_per_device" in str(refused.value)
    assert not asked


def test_scaling_keeps_the_batch_per_chip_or_the_whole_batch_of_the_first_slice(question, chips):
    found = scaling(question()[0], [chips("v5e:4x4"), chips("v5e:8x8")], 1)
    assert [row["batch_per_chip"] for row in found["weak"]] == [128, 128]
    assert [row["batch_per_chip"] for row in found["strong"]] == [128, 32]
    first, second = found["weak"]
    assert first["predicted_efficiency"] == 1.0
    assert second["predicted_examples_per_s"] == pytest.approx(4 * first["predicted_examples_per_s"])
    # With as much to send for fewer examples, links take a larger share where nothing goes on beside another.
    assert found["strong"][1]["predicted_efficiency_in_turn"] < found["weak"][1]["predicted_efficiency_in_turn"] == 1


def test_scaling_leaves_out_what_does_not_divide_or_fit(question, chips):
    found = scaling(question(global_batch=24, phases=(1,))[0], [chips("v5e:2x4"), chips("v5e:4x4")], 1)
    assert [row["fits"] for row in found["strong"]] == [True, False]
    assert found["strong"][1]["batch_per_chip"] is None
    asking, _ = question(per_chip=200)
    crowded = scaling(asking, [chips("v5e:4x4"), chips("v5e:8x8")], 1)
    assert isinstance(asking.answer(chips("v5e:4x4"), 200, 1), TooLarge)
    assert [row["predicted_efficiency"] for row in crowded["weak"]] == [None, None]
    # The first slice that fits has no other to be compared with.
    assert crowded["strong"][1]["fits"]
    assert crowded["strong"][1]["predicted_efficiency"] is None
