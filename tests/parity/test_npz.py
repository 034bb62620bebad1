"""ViTs in the npz layouts of vision_transformer and big_vision give the logits of those architectures."""

import numpy as np
import pytest

NAMES = [
    "npz_augreg",
    "npz_representation",
    "npz_target",
    "npz_big_vision_gap",
    "npz_big_vision_scanned",
    "npz_big_vision_tok",
    "npz_big_vision_representation",
]


@pytest.mark.parametrize("name", NAMES)
def test_the_logits_are_those_of_the_reference(name, golden, loaded, difference, tolerance):
    checkpoint = golden(name)
    assert difference(loaded(name)(checkpoint.inputs), checkpoint.reference["logits"]) <= tolerance


@pytest.mark.parametrize("name", NAMES)
def test_every_hidden_state_is_that_of_the_reference(name, golden, loaded, assert_hidden_states_agree):
    assert_hidden_states_agree(loaded(name), golden(name))


@pytest.mark.parametrize("name", [name for name in NAMES if "scanned" not in name])
def test_the_report_accounts_for_every_array(name, golden, loaded, assert_report_accounts_for):
    with np.load(golden(name).path) as arrays:
        assert_report_accounts_for(loaded(name), list(arrays))


def test_the_report_names_every_stacked_array_of_scanned_blocks(golden, loaded):
    rows = loaded("npz_big_vision_scanned").report.leaves
    with np.load(golden("npz_big_vision_scanned").path) as arrays:
        for name in arrays:
            assert any(part.startswith(name) for row in rows for part in row.source.split(" + ")), name


@pytest.mark.parametrize("name", ["npz_augreg", "npz_big_vision_gap"])
def test_a_new_head_leaves_the_features_as_they_were(name, golden, loaded, difference, tolerance):
    model = loaded(name, num_classes=3)
    kernel, bias = (np.asarray(model.variables["params"]["head"][leaf]) for leaf in ("kernel", "bias"))
    logits = golden(name).reference["features"] @ kernel + bias
    assert difference(model(golden(name).inputs), logits) <= tolerance
