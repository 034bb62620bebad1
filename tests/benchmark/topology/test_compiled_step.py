import dataclasses
import json

import jax
import pytest

from tlj.benchmark.topology import compiled_step
from tlj.benchmark.topology.compiled_step import compile_step, too_large
from tlj.benchmark.topology.facts import TooLarge
from tlj.data.cache import VARIABLE
from tlj.training.compiled import lower_step

GIB = 2**30


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """A cache of its own, and the compiler of this machine in place of that of TPUs."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    monkeypatch.setattr(compiled_step, "PACKAGES", ("jax", "jaxlib"))
    return tmp_path / "plans"


@pytest.mark.parametrize(
    ("message", "needed", "usable"),
    [
        ("RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 20.03G of 15.75G hbm.", 20.03, 15.75),
        (
            "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO temporaries (48.00G) "
            "exceeds available HBM (30.75G).",
            48,
            30.75,
        ),
        ("Used 1.50T of 95.74G HBM", 1536, 95.74),
    ],
)
def test_a_refusal_for_memory_says_how_much_is_needed_and_how_much_there_is(message, needed, usable):
    found = too_large(message)
    assert found.needed_bytes == pytest.approx(needed * GIB)
    assert found.usable_bytes == pytest.approx(usable * GIB)
    assert too_large("INVALID_ARGUMENT: no such thing") is None


def test_the_step_that_is_compiled_is_the_real_one_and_is_compiled_once(one_run, own_cache, monkeypatch):
    setup = one_run(strategy="full")
    found = compile_step(setup, setup.phases[0])
    assert found.flops == pytest.approx(lower_step(setup, setup.phases[0]).compile().cost_analysis()["flops"])
    state = compiled_step.abstract_state(setup, setup.phases[0])
    arguments = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    batch = sum(array.nbytes for array in setup.usual_batch.values())
    assert found.argument_bytes == pytest.approx(arguments + batch, rel=0.05)
    # The state is donated: of what comes out, the metrics alone take memory of their own.
    assert 0 <= found.output_bytes < 0.02 * arguments
    assert found.temporary_bytes > 0
    # One device has nobody to send to.
    assert (found.all_reduce_bytes, found.sent_bytes) == (0, 0)
    (file,) = own_cache.iterdir()
    file.write_text(json.dumps({**json.loads(file.read_text()), "flops": 7.0}))
    assert compile_step(setup, setup.phases[0]) == dataclasses.replace(found, flops=7.0)
    monkeypatch.setenv("LIBTPU_INIT_ARGS", "--another=compiler")
    file.write_text("{ torn")
    assert compile_step(setup, setup.phases[0]) == found


def test_a_refusal_is_remembered_too_and_any_other_failure_is_not(one_run, own_cache, monkeypatch):
    setup = one_run(strategy="linear_probe")
    messages = ["Used 20.03G of 15.75G hbm", "INTERNAL: the compiler has a fault"]

    def refuse(self):
        raise jax.errors.JaxRuntimeError(messages[0])

    monkeypatch.setattr(jax.stages.Lowered, "compile", refuse)
    refused = compile_step(setup, setup.phases[0])
    assert isinstance(refused, TooLarge)
    messages.pop(0)
    assert compile_step(setup, setup.phases[0]) == refused
    (file,) = own_cache.iterdir()
    file.unlink()
    with pytest.raises(jax.errors.JaxRuntimeError, match="a fault"):
        compile_step(setup, setup.phases[0])
    assert not list(own_cache.iterdir())


def test_a_batch_in_parts_counts_every_part(one_run, own_cache):
    whole, parts = (one_run(strategy="full", optimizer={"accumulate": n}) for n in (1, 4))
    of_whole, of_parts = (compile_step(setup, setup.phases[0]) for setup in (whole, parts))
    assert of_parts.flops == pytest.approx(of_whole.flops, rel=0.15)
    # Each part reads the parameters again.
    assert 0.9 * of_whole.bytes < of_parts.bytes < 4 * of_whole.bytes
