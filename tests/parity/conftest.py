"""The golden checkpoints: their files, their reference outputs, and the models that they load as."""

import dataclasses
import functools
import pathlib

import numpy as np
import pytest

import tlj

# The contract is 1e-4. In models as small as these that is also how far exact GELU is from tanh GELU, or an epsilon of
# 1e-5 from one of 1e-12, so more is asked; float32 agrees within a fifth of it.
TOLERANCE = 2e-5
FOLDER = pathlib.Path(__file__).parents[1] / "golden" / "checkpoints"


@dataclasses.dataclass(frozen=True, eq=False)
class Golden:
    """A checkpoint and what the code that is the reference made of it (``tests/golden/README.md``)."""

    path: pathlib.Path
    reference: dict[str, np.ndarray]

    @property
    def inputs(self):
        """Images, or a padded batch of token ids."""
        if "images" in self.reference:
            return self.reference["images"]
        return {name: self.reference[name] for name in ("input_ids", "attention_mask", "token_type_ids")}

    @property
    def hidden(self):
        """The outputs of layers, by the names of tlj."""
        return {name.removeprefix("hidden/"): v for name, v in self.reference.items() if name.startswith("hidden/")}


def read_reference(path):
    """Returns the arrays of a file of references."""
    with np.load(path) as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def golden():
    """Reads a golden checkpoint by its name, once: ``golden("vit_gelu")``, ``golden("npz_augreg")``."""

    @functools.cache
    def read(name):
        if (FOLDER / name).is_dir():
            return Golden(FOLDER / name, read_reference(FOLDER / name / "reference.npz"))
        return Golden(FOLDER / f"{name}.npz", read_reference(FOLDER / f"{name}_reference.npz"))

    return read


@pytest.fixture(scope="session")
def loaded(golden):
    """Loads a golden checkpoint, once for the same overrides: ``loaded("bert_masked_lm", pool="first")``."""

    @functools.cache
    def load(name, **overrides):
        return tlj.load(golden(name).path, **overrides)

    return load


@pytest.fixture(scope="session")
def assert_hidden_states_agree():
    """Checks every hidden state of a reference against those of the model that was loaded."""

    def check(model, checkpoint):
        states = model.hidden_states(checkpoint.inputs)
        assert checkpoint.hidden, "the reference has no hidden state"
        for name, expected in checkpoint.hidden.items():
            assert largest_difference(states[name], expected) <= TOLERANCE, name

    return check


@pytest.fixture(scope="session")
def assert_report_accounts_for():
    """Checks that a report names every array of a file once, and a leaf of the model for each that it calls loaded."""

    def check(model, stored):
        rows = model.report.leaves
        sources = [name for row in rows for name in row.source.split(" + ")]
        assert sorted(sources) == sorted(stored)
        assert {row.status for row in rows} <= {"loaded", "ignored"}
        for row in rows:
            assert bool(row.path) == (row.status == "loaded")
            assert bool(row.note) == (row.status == "ignored")

    return check


@pytest.fixture(scope="session")
def tolerance():
    """What the largest absolute difference may be."""
    return TOLERANCE


def largest_difference(ours, expected):
    """Returns the largest absolute difference of two arrays of one shape."""
    ours = np.asarray(ours)
    assert ours.shape == expected.shape
    difference = float(np.abs(ours - expected).max())
    print(f"figure: largest difference {difference:.1e}")  # shown by pytest -rP
    return difference


@pytest.fixture(scope="session")
def difference():
    """The largest absolute difference of two arrays of one shape, as a function."""
    return largest_difference
