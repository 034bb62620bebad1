"""ResNets under torchvision's names."""

import numpy as np
import pytest
from safetensors.numpy import load_file

import tlj
from tlj.errors import InputError
from tlj.pretrained.export.export import export


@pytest.mark.parametrize("name", ["torchvision_basic", "torchvision_bottleneck", "timm_resnet18", "cifar_padded"])
def test_the_arrays_are_those_that_were_loaded(name, golden, load_golden, tmp_path):
    told = {"bottleneck_stride": "second"} if name == "torchvision_bottleneck" else {}
    export(load_golden(name, **told), tmp_path / "out", "torch")
    found, expected = (load_file(folder / "model.safetensors") for folder in (tmp_path / "out", golden(name)))
    # Scripts for CIFAR call the head otherwise than torchvision.
    expected = {key.replace("linear.", "fc."): array for key, array in expected.items()}
    counts = {key for key in found if key.endswith("num_batches_tracked")}
    assert set(found) - counts == {key for key in expected if not key.endswith("num_batches_tracked")}
    for key in set(found) - counts:
        np.testing.assert_array_equal(found[key], expected[key])


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("torchvision_bottleneck", {"bottleneck_stride": "second"}),
        ("cifar_padded", {"mean": (0.49, 0.48, 0.45), "std": (0.2, 0.21, 0.22)}),
        ("resnet_first_convolution_strides", {}),
        ("resnet_basic_first_stage_downsamples", {}),
        ("resnet_basic_gelu", {}),
        ("resnet_headless", {}),
    ],
)
def test_loading_what_was_exported_gives_the_same_bits(name, told, load_golden, is_same, tmp_path, recwarn):
    model = load_golden(name, **told)
    export(model, tmp_path / "out", "torch")
    again = is_same(tmp_path / "out", model)
    images = np.random.default_rng(0).normal(size=(2, *model.spec.input_shape))
    np.testing.assert_array_equal(again(images), model(images))
    assert not [warning for warning in recwarn if "preprocessing" in str(warning.message)]


def test_a_run_on_small_images_comes_back(resnet_run, is_same, tmp_path):
    export(tlj.load(resnet_run), tmp_path / "out", "torch")
    is_same(tmp_path / "out", tlj.load(resnet_run))


@pytest.mark.parametrize("name", ["vit_gelu", "bert_gelu"])
def test_another_family_is_refused(name, load_golden, tmp_path):
    with pytest.raises(InputError, match=f"this is a {name[:4].rstrip('_')}; export with --format=huggingface"):
        export(load_golden(name), tmp_path / "out", "torch")
    assert list(tmp_path.iterdir()) == []
