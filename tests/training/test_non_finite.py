"""A loss or gradient that is not a finite number."""

import json

import numpy as np
import pytest

from tlj.training.compiled import initial_state, run_keys, step_program
from tlj.training.initial import start_variables
from tlj.training.non_finite import FILE, diagnose, first_bad, refuse
from tlj.training.programs import Programs

DEPTHS = {"embedding/kernel": 0, "block/kernel": 1, "block/scale": 1, "head/kernel": 2}


def finite(**bad):
    """All is finite but what is named: ``finite(gradients=["head/kernel"])``."""
    trees = {"params": {}, "batch_stats": {"block": {"mean": True}}, "gradients": {}}
    for path in DEPTHS:
        module, name = path.split("/")
        for kind in ("params", "gradients"):
            trees[kind].setdefault(module, {})[name] = path not in bad.get(kind, ())
    trees["batch_stats"]["block"]["mean"] = not bad.get("batch_stats")
    trees["gradients"]["embedding"]["kernel"] = None  # frozen
    return trees


@pytest.mark.parametrize(
    ("bad", "loss", "expected"),
    [
        ({"params": ["head/kernel", "block/scale"], "gradients": list(DEPTHS)}, np.nan, "parameter block/scale"),
        ({"batch_stats": True, "gradients": list(DEPTHS)}, np.nan, "statistic block/mean"),
        ({"gradients": list(DEPTHS)}, np.inf, "the loss"),
        ({"gradients": ["block/kernel", "block/scale"]}, 1.0, "gradient of block/scale"),
        ({}, 1.0, "the norm of all gradients, which overflows"),
    ],
)
def test_the_first_is_named_in_the_order_in_which_a_step_meets_them(bad, loss, expected):
    assert first_bad(finite(**bad), DEPTHS, loss) == expected


@pytest.fixture(scope="module")
def broken(tiny_run):
    """A run whose head has an infinite weight before its third step."""
    setup = tiny_run(steps=4)
    variables, programs = start_variables(setup)[0], Programs()
    kernel = np.array(variables["params"]["head"]["kernel"])
    kernel[0, 0] = np.inf
    params = {**variables["params"], "head": {**variables["params"]["head"], "kernel": kernel}}
    # Whoever asks gives the state away.
    return setup, lambda: initial_state(setup, setup.phases[0], {**variables, "params": params}, programs)


def test_a_diagnosis_names_leaf_and_examples(broken):
    setup, state = broken
    found = diagnose(setup, setup.phases[0], state(), 3)
    assert (found["step"], found["leaf"]) == (3, "parameter head/kernel")
    assert not np.isfinite(found["loss"])
    labels = {setup.source.ids[i]: setup.source.labels[i] for i in setup.split.train}
    assert [labels[name] for name in found["examples"]] == setup.batches[2]["label"].tolist()


def test_a_diagnosis_is_of_the_batch_of_its_step(broken):
    (setup, _), programs = broken, Programs()
    start = start_variables(setup)[0]
    losses = [
        diagnose(setup, setup.phases[0], initial_state(setup, setup.phases[0], start, programs), step)["loss"]
        for step in (1, 2)
    ]
    batch = setup.wrapper.put(setup.batches[0], 1)
    program, _ = step_program(setup, setup.phases[0], programs, batch, 1)
    state = initial_state(setup, setup.phases[0], start, programs)
    _, metrics = program.call(state, batch, run_keys(setup.config["seed"]))
    np.testing.assert_allclose(losses[0], metrics["loss"], rtol=1e-5)
    assert abs(losses[1] - losses[0]) > 1e-4


def test_the_error_says_where_what_and_what_is_left(broken, tmp_path):
    setup, state = broken
    error = refuse(setup, setup.phases[0], state(), 3, tmp_path, 2)
    for said in ("step 3", "parameter head/kernel", "16 examples", FILE, "checkpoint of step 2", "config.on_nan"):
        assert said in str(error)
    told = json.loads((tmp_path / FILE).read_text())
    assert (told["step"], told["loss"], len(told["examples"])) == (3, None, 16)
    assert "no checkpoint yet" in str(refuse(setup, setup.phases[0], state(), 3, tmp_path, None))
