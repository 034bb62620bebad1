import pytest

from tlj.training.cached.flops import flops_below
from tlj.training.cached.run import from_activations
from tlj.training.compiled import lower_step


def test_what_a_step_need_not_compute_is_the_forward_pass_below(probe):
    setup = probe()
    half, whole = flops_below(setup, 1), flops_below(setup, 2)
    # The embedding is small beside two blocks that are alike.
    assert 0.45 < half / whole < 0.65


def test_with_what_stands_below_a_step_costs_what_it_does_without_a_cache(probe):
    setup = probe(strategy="last_blocks:1")
    (phase,) = setup.phases
    whole, cached = (lower_step(each, phase).cost_analysis()["flops"] for each in (setup, from_activations(setup, 1)))
    assert cached + flops_below(setup, 1) == pytest.approx(whole, rel=0.05)
