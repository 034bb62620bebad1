import dataclasses

import jax
import numpy as np
import pytest

from tlj.data.cache import cache_folder
from tlj.errors import RunError
from tlj.training.cached import extract as extraction
from tlj.training.cached.activation_file import ActivationFile
from tlj.training.cached.extract import open_file, wanted
from tlj.training.cached.run import CachedRun
from tlj.training.cached.start import start_identity
from tlj.training.compiled import evaluate_program
from tlj.training.programs import Programs, count_compilations

PROGRAMS = Programs()


def test_only_what_is_not_there_is_made_and_what_is_damaged_is_made_again(probe, monkeypatch):
    setup = probe(1)
    first = CachedRun(setup, PROGRAMS).setup(0).reader.batch(setup.split.train)
    facts = open_file(setup, 2).facts
    assert facts["examples"] == len(np.concatenate([setup.split.train, setup.split.validation, setup.split.test]))
    CachedRun(probe(1), PROGRAMS).setup(0)
    assert open_file(setup, 2).facts == facts
    folder = open_file(setup, 2).folder
    with open(folder / "rows.raw", "r+b") as opened:
        opened.seek(int(setup.split.train[0]) * 16 * 4)
        opened.write(b"\x01\x02\x03")
    # As in another process.
    monkeypatch.setattr(extraction, "_files", {})
    again = CachedRun(probe(1), PROGRAMS).setup(0).reader.batch(setup.split.train)
    np.testing.assert_array_equal(again["activations"], first["activations"])
    assert open_file(setup, 2).facts["examples"] == facts["examples"] + 1


def test_an_extraction_that_was_cut_goes_on(probe, monkeypatch):
    setup, write, calls = probe(2), ActivationFile.write, []

    def full_after_two(file, rows, values):
        calls.append(len(rows))
        if len(calls) > 2:
            raise OSError(28, "No space left on device")
        write(file, rows, values)

    monkeypatch.setattr(ActivationFile, "write", full_after_two)
    with pytest.raises(RunError, match="No space left on device.*make room"):
        CachedRun(setup, PROGRAMS).setup(0)
    monkeypatch.setattr(ActivationFile, "write", write)
    missing, _ = wanted(setup, 2).missing()
    assert len(missing) == len(wanted(setup, 2).clean) - 32
    CachedRun(setup, PROGRAMS).setup(0)
    assert not len(wanted(setup, 2).missing()[0])


def test_one_program_serves_every_seed_and_the_boundary_is_all_that_a_step_takes(probe):
    programs = Programs()
    with count_compilations() as compiled:
        for seed in (5, 6):
            run = CachedRun(probe(seed), programs)
            setup = run.setup(0)
    assert compiled["activation_step"] == 1
    program = evaluate_program(setup, programs, setup.reader.batch(np.arange(16)))
    assert {path[0].key for path, _ in jax.tree_util.tree_leaves_with_path(program.call.in_avals[0][0])} == {"head"}


def test_what_activations_are_made_from_decides_where_they_lie(probe):
    setup = probe()
    known = {open_file(setup, 2).folder}
    others = [probe(9), probe(activations="bfloat16"), dataclasses.replace(setup, dtype="bfloat16")]
    for other in others:
        known.add(open_file(other, 2).folder)
    known.add(open_file(setup, 1).folder)
    assert len(known) == 5
    assert all(folder.parent == cache_folder("activations") for folder in known)
    # Neither the head nor how long it is trained is of it.
    longer = dataclasses.replace(setup, config={**setup.config, "steps": 99})
    assert open_file(longer, 2) is open_file(setup, 2)
    assert start_identity(setup, 2) == start_identity(longer, 2)
