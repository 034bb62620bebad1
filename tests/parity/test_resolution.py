"""A ViT at another resolution: bicubic as transformers resizes position embeddings, bilinear as vision_transformer."""

import numpy as np
import pytest
import scipy.ndimage


@pytest.fixture(scope="module")
def resolutions(golden):
    """What transformers gives with ``interpolate_pos_encoding=True``, by the size of the images."""
    with np.load(golden("vit_gelu").path / "resolutions.npz") as arrays:
        return dict(arrays)


def position_row(model):
    (row,) = (row for row in model.report.leaves if row.path == "params/backbone/embedding/position")
    return row


@pytest.mark.parametrize("size", [8, 28])
def test_bicubic_gives_the_logits_and_hidden_states_of_transformers(size, resolutions, loaded, difference, tolerance):
    model = loaded("vit_gelu", image_size=size)
    images = resolutions[f"{size}/images"]
    assert difference(model(images), resolutions[f"{size}/logits"]) <= tolerance
    states = model.hidden_states(images)
    for name in ("embedding", "block1"):
        assert difference(states[name], resolutions[f"{size}/hidden/{name}"]) <= tolerance


@pytest.mark.parametrize("size", [8, 28])
def test_bicubic_is_reported(size, loaded):
    row = position_row(loaded("vit_gelu", image_size=size))
    assert (row.status, row.note) == ("resized", f"bicubic from 4x4 to {size // 4}x{size // 4}")


@pytest.mark.parametrize(
    ("name", "array", "has_class_token"),
    [("npz_augreg", "Transformer/posembed_input/pos_embedding", 1), ("npz_big_vision_gap", "params/pos_embedding", 0)],
)
@pytest.mark.parametrize("size", [8, 28])
def test_bilinear_is_that_of_scipy(name, array, has_class_token, size, golden, loaded, difference):
    model = loaded(name, image_size=size)
    with np.load(golden(name).path) as arrays:
        stored = arrays[array]
    grid = stored[0, has_class_token:].reshape(4, 4, -1)
    zoom = size / 16
    resized = scipy.ndimage.zoom(grid, (zoom, zoom, 1), order=1).reshape(1, (size // 4) ** 2, -1)
    expected = np.concatenate([stored[:, :has_class_token], resized], axis=1)
    assert difference(model.variables["params"]["backbone"]["embedding"]["position"], expected) <= 1e-6
    row = position_row(model)
    assert (row.status, row.note) == ("resized", f"bilinear from 4x4 to {size // 4}x{size // 4}")


def test_the_preprocessing_follows_the_resolution(loaded):
    assert loaded("vit_gelu", image_size=24).preprocessing.image_size == 24


def test_its_own_resolution_is_loaded_and_not_resized(golden, loaded, difference, tolerance):
    model = loaded("vit_gelu", image_size=16)
    assert position_row(model).status == "loaded"
    assert difference(model(golden("vit_gelu").inputs), golden("vit_gelu").reference["logits"]) <= tolerance
