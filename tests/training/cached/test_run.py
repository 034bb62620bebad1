import dataclasses
import pathlib
import pickle

import jax
import numpy as np
import pytest

from tlj.data.cache import cache_folder
from tlj.errors import InputError, RunError
from tlj.training.cached import extract as extraction
from tlj.training.cached import room
from tlj.training.cached.activation_file import ActivationFile
from tlj.training.cached.extract import depths_of, open_file, wanted
from tlj.training.cached.flops import flops_below
from tlj.training.cached.room import check_room_of_all
from tlj.training.cached.run import CachedRun, describe
from tlj.training.cached.start import start_identity
from tlj.training.compiled import evaluate_program
from tlj.training.features import extract_features
from tlj.training.initial import start_variables
from tlj.training.programs import Programs, count_compilations

PROGRAMS = Programs()


@pytest.fixture
def probe(tiny_run):
    """A probe of a backbone that its seed draws: ``probe(seed=4)``; its activations are its own."""

    def make(seed=0, strategy="linear_probe", activations="float32", **changes):
        changes = {"cache": {"activations": activations}, "data": {"augment": {"shift": 0}}} | changes
        setup = tiny_run(strategy=strategy, init="scratch", steps=3, evaluate={"batch_size": 16}, **changes)
        return dataclasses.replace(setup, config={**setup.config, "seed": seed})

    return make


def test_cached_features_are_those_that_the_head_reads(probe):
    setup, programs = probe(), Programs()
    cached = CachedRun(setup, programs).setup(0)
    found = cached.reader.batch(setup.split.test)["activations"]
    variables, _ = start_variables(setup)
    features = extract_features(setup, programs, variables, setup.split.test).pooled
    np.testing.assert_allclose(found, features, rtol=1e-5, atol=1e-6)


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


def test_a_disk_without_room_is_told_before_anything_is_computed(probe, monkeypatch):
    setup = probe(7)
    needed = len(wanted(setup, 2).clean) * 16 * 4
    monkeypatch.setattr(room.shutil, "disk_usage", lambda path: pathlib.Path(path).exists() and Disk(2 * needed - 2))
    for check in (lambda: check_room_of_all([setup], 1), lambda: CachedRun(setup, PROGRAMS).setup(0)):
        with pytest.raises(InputError, match=f"take {needed:,} bytes, more than 0.5 of the.*TLJ_CACHE.*bfloat16"):
            check()
    monkeypatch.setattr(room.shutil, "disk_usage", lambda path: Disk(2 * needed))
    check_room_of_all([setup], 1)
    with pytest.raises(InputError, match=f"{3 * needed:,} bytes"):
        # A backbone that the seed draws has activations of its own for each.
        check_room_of_all([setup], 3)


@dataclasses.dataclass
class Disk:
    free: int


def test_the_reader_of_activations_travels_to_another_process(probe):
    setup = probe()
    reader = CachedRun(setup, PROGRAMS).setup(0).training_reader
    travelled = pickle.loads(pickle.dumps(reader))
    for name, array in reader.batch(setup.split.train[:5]).items():
        np.testing.assert_array_equal(travelled.batch(setup.split.train[:5])[name], array)


def test_it_says_where_steps_start_or_why_nothing_is_cached(probe):
    def said(strategy, **changes):
        setup = probe(strategy=strategy, **changes)
        return describe(setup, depths_of(setup))

    assert "from the features (16 float32, 64 bytes an example)" in said("linear_probe")
    assert "from depth 1 of 2 (5x16 bfloat16, 160 bytes an example)" in said("last_blocks:1", activations="bfloat16")
    assert "nothing is cached" in said("bias_only")
    assert said("linear_probe", activations="none") == ""


def test_what_a_step_need_not_compute_is_the_forward_pass_below(probe):
    setup = probe()
    half, whole = flops_below(setup, 1), flops_below(setup, 2)
    # The embedding is small beside two blocks that are alike.
    assert 0.45 < half / whole < 0.65
