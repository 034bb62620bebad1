"""Models to export: what transformers' and torchvision's own classes saved, by name."""

import pathlib
import warnings

import pytest

import tlj

GOLDENS = pathlib.Path(__file__).parents[2] / "golden" / "checkpoints"


@pytest.fixture(scope="session")
def golden():
    """The directory of a golden checkpoint: ``golden("vit_gelu")``."""
    return lambda name: GOLDENS / name


@pytest.fixture(scope="session")
def load_golden():
    """Loads a golden checkpoint: ``load_golden("vit_gelu", pool="pooler")``."""

    def load(name, **overrides):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that nothing tells the preprocessing
            return tlj.load(GOLDENS / name, **overrides)

    return load


@pytest.fixture(scope="session")
def is_same():
    """Asserts that a directory holds a model to the last bit: ``is_same(directory, model)``."""
    from tlj.freezing.digests import leaf_digests

    def check(directory, model):
        again = tlj.load(directory)
        assert leaf_digests(again.variables) == leaf_digests(model.variables)
        assert again.spec == model.spec
        assert again.preprocessing == model.preprocessing
        assert again.classes == model.classes
        assert {row.status for row in again.report.leaves} <= {"loaded", "ignored"}
        return again

    return check
