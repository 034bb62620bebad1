import dataclasses
import threading

import jax
import numpy as np
import pytest

from tlj.freezing.digests import leaf_digests
from tlj.training.cached import start
from tlj.training.cached.start import shared_start, shared_variables, start_identity
from tlj.training.initial import start_variables


@pytest.fixture
def setup(tiny_run, monkeypatch):
    monkeypatch.setattr(start, "_starts", start._Starts())
    return tiny_run("resnet", strategy="linear_probe", init="scratch")


def test_shared_variables_are_those_that_a_run_starts_from(setup):
    (found, report), (wanted, plan) = shared_variables(setup), start_variables(setup)
    assert report == plan
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    jax.tree.map(np.testing.assert_array_equal, found, jax.device_get(wanted))


def test_digests_are_of_every_leaf_of_the_backbone_and_of_none_of_the_head(setup):
    variables, _ = start_variables(setup)
    whole = leaf_digests(variables["params"]) | leaf_digests(variables["batch_stats"])
    assert dict(shared_start(setup).digests) == {p: d for p, d in whole.items() if not p.startswith("head/")}


def test_a_backbone_that_the_seed_draws_is_the_seeds_own(setup):
    other = dataclasses.replace(setup, config={**setup.config, "seed": 8})
    assert start_identity(other, 2) != start_identity(setup, 2)
    assert shared_start(other).digests != shared_start(setup).digests
    assert shared_start(setup) is shared_start(dataclasses.replace(setup))


def test_runs_that_begin_at_once_wait_for_the_first_to_read(setup, monkeypatch):
    read, reads = start.start_variables, []
    monkeypatch.setattr(start, "start_variables", lambda setup: reads.append(setup) or read(setup))
    threads = [threading.Thread(target=shared_start, args=(setup,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reads) == 1


def test_what_lies_below_is_by_kind_and_path(setup):
    held = shared_start(setup).below(setup, 1)
    assert {path.split("/")[1] for leaves in held.values() for path in leaves} == {"embedding", "block0"}
    assert held["batch_stats"]
