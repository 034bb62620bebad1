"""A step costs what it trains: floating-point operations of compiled steps, as the compiler itself counts them.

The sizes are those of ViT-B/16 at 224 pixels, BERT-base at 128 tokens and ResNet-50: nothing is run, so size costs
nothing, and the shares of matrix products and of everything else are the real ones. At a batch of 32 what is done once
per parameter (clipping, the optimizer) weighs as little as it does in practice.
"""

import functools

import flax
import jax
import optax
import pytest

from tlj.freezing.partition import split
from tlj.training.cached.extract import depths_of
from tlj.training.cached.run import from_activations
from tlj.training.compiled import abstract_state, lower_step, run_keys, step_program
from tlj.training.inputs import evaluation_inputs
from tlj.training.programs import Programs

BATCH = 32
REAL = {
    "vit": {"model": {"family": "vit"}, "data": {"source": "synthetic:224x10"}},
    # Dropout draws random numbers, which cost no multiplications worth the name but half of the compiler's time.
    "bert": {
        "model": {"family": "bert", "settings": {"dropout": 0.0, "attention_dropout": 0.0}},
        "data": {"source": "synthetic_text:128x2"},
    },
    "resnet": {"model": {"family": "resnet"}, "data": {"source": "synthetic:224x10"}},
}
# For ViT-B/16: a product with weights costs its forward pass, as much again for the weights' gradient and as much again
# for the inputs', and what stands below the lowest trained leaf costs its forward pass alone.
EXPECTED = {
    "linear_probe": 0.334,
    "last_blocks:1": 0.383,
    "last_blocks:2": 0.438,
    "last_blocks:3": 0.493,
    "last_blocks:6": 0.659,
    "first_blocks:3": 0.752,
}


@pytest.fixture(scope="module")
def real(set_up_run):
    """Sets up a run of real size from scratch: ``real("vit", "linear_probe")``."""

    def make(family, strategy, *changes):
        run = {"strategy": strategy, "init": "scratch", "global_batch_size": BATCH}
        return set_up_run(REAL[family], run, *changes)

    return make


@pytest.fixture(scope="module")
def flops(real):
    """The compiler's count for the step of a strategy's first phase."""
    programs = Programs()

    @functools.cache
    def count(family, strategy):
        setup = real(family, strategy)
        assert setup.settings.clip_norm > 0
        (phase,) = setup.phases
        return step_program(setup, phase, programs)[0].flops

    return count


@pytest.mark.parametrize(
    ("family", "strategy"),
    [*(("vit", strategy) for strategy in EXPECTED), ("bert", "last_blocks:3"), ("bert", "first_blocks:3")],
)
def test_a_step_costs_what_it_trains(flops, family, strategy):
    assert flops(family, strategy) / flops(family, "full") == pytest.approx(EXPECTED[strategy], abs=0.02)


def test_from_cached_activations_a_step_costs_the_blocks_that_train(real, flops):
    # ViT-S/16: forward and backward of 4 of 12 blocks, and nothing of the embedding and the 8 below.
    small = {"model": {"settings": {"width": 384, "heads": 6}}, "data": {"source": "synthetic:224x10"}}
    setup = real("vit", "last_blocks:4", small, {"cache": {"activations": "float32"}})
    cached = from_activations(setup, *depths_of(setup))
    full = real("vit", "full", small)
    counted = [lower_step(each, each.phases[0]).cost_analysis()["flops"] for each in (cached, full)]
    assert counted[0] / counted[1] == pytest.approx(4 / 12, rel=0.03)
    assert counted[0] / counted[1] < 1.2 * 0.325
    taken = flax.traverse_util.flatten_dict(abstract_state(cached, cached.phases[0]).params, sep="/")
    assert {path.split("/")[1] for path in taken if path.startswith("backbone/")} == {
        *(f"block{i}" for i in range(8, 12)),
        "norm",
    }


def test_the_head_of_a_resnet_costs_little_more_than_a_third(flops):
    assert 0.3 < flops("resnet", "linear_probe") / flops("resnet", "full") < 0.37


@pytest.mark.parametrize(("family", "strategy"), [("vit", "lora:8"), ("bert", "bias_only")])
def test_what_has_no_gradients_of_big_matrices_costs_two_thirds(flops, family, strategy):
    # No weight gradients, but every gradient of inputs.
    assert 0.6 < flops(family, strategy) / flops(family, "full") < 0.72


def test_what_ends_below_costs_the_more_the_deeper_it_reaches(flops):
    ordered = ["linear_probe", "last_blocks:1", "last_blocks:2", "last_blocks:3", "last_blocks:6", "full"]
    costs = [flops("vit", strategy) for strategy in ordered]
    assert costs == sorted(costs)


@pytest.mark.parametrize("family", ["vit", "bert"])
def test_a_norm_over_all_gradients_brings_the_backward_pass_back(real, flops, family):
    setup = real(family, "linear_probe")
    (phase,) = setup.phases
    state, batch = abstract_state(setup, phase), setup.wrapper.batch_shapes(setup.usual_batch, 1)

    def train_step(state, batch, rng):
        """A probe's step that looks at every gradient, as a metric might, and moves the head alone."""

        def loss_of(params):
            inputs = evaluation_inputs(batch, setup.preprocessing)
            logits = setup.module.apply({"params": params}, inputs, train=True, rngs={"dropout": rng["dropout"]})
            return optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"]).mean()

        gradients = jax.grad(loss_of)(state.params)
        trained, _ = split(gradients, phase)
        return trained["head"], optax.tree.norm(gradients)

    compiled = jax.jit(train_step).lower(state, batch, run_keys(0)).compile()
    assert compiled.cost_analysis()["flops"] > 0.9 * flops(family, "full") > 2 * flops(family, "linear_probe")


def test_clipping_and_the_norm_of_the_gradient_are_counted_and_cost_a_probe_next_to_nothing(real, flops):
    setup = real("vit", "linear_probe", {"optimizer": {"clip_norm": 0.0}})
    unclipped = step_program(setup, setup.phases[0], Programs())[0]
    assert "gradient_norm" in unclipped.call.out_info[1]
    assert unclipped.flops <= flops("vit", "linear_probe") < 1.0001 * unclipped.flops


def test_every_phase_costs_what_it_trains(from_scratch, programs):
    def of_phases(strategy):
        setup = from_scratch("vit", {"strategy": strategy, "init": "scratch", "steps": 100})
        return [step_program(setup, phase, programs)[0].flops for phase in setup.phases]

    one = {text: of_phases(text)[0] for text in ("linear_probe", "last_blocks:1", "last_blocks:2", "full")}
    # The embedding joins last of all; last_blocks:2 of two blocks stops above it.
    assert of_phases("gradual:20") == pytest.approx(list(one.values()), rel=0.01)
    assert of_phases("lp_ft:50") == pytest.approx([one["linear_probe"], one["full"]], rel=1e-6)
    assert of_phases("freeze_out:0.5") == pytest.approx(
        [one["full"], one["last_blocks:2"], one["last_blocks:1"], one["linear_probe"]], rel=0.01
    )
    assert one["linear_probe"] < one["last_blocks:1"] < one["last_blocks:2"] < one["full"]
