"""ResNets under torch names give the logits of torchvision, of timm and of the CIFAR network of He et al."""

import pytest
from safetensors import safe_open

# What a file under torch names does not tell, and nothing beside it does.
TOLD = {"torchvision_bottleneck": {"bottleneck_stride": "second"}}
NAMES = ["torchvision_basic", "torchvision_bottleneck", "timm_resnet18", "timm_resnet50", "cifar_padded"]


@pytest.fixture(params=NAMES)
def checkpoint(request, golden, loaded):
    """A golden checkpoint and its model."""
    return golden(request.param), loaded(request.param, **TOLD.get(request.param, {}))


# A file that tells no preprocessing is loaded with a warning.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def test_the_logits_are_those_of_the_reference(checkpoint, difference, tolerance):
    golden, model = checkpoint
    assert difference(model(golden.inputs), golden.reference["logits"]) <= tolerance


def test_every_block_gives_what_the_reference_does(checkpoint, assert_hidden_states_agree):
    golden, model = checkpoint
    assert len(golden.hidden) == model.spec.depth
    assert_hidden_states_agree(model, golden)


def test_the_report_accounts_for_every_array(checkpoint, assert_report_accounts_for):
    golden, model = checkpoint
    with safe_open(golden.path / "model.safetensors", "numpy") as file:
        assert_report_accounts_for(model, list(file.keys()))


def test_striding_in_the_other_convolution_gives_other_logits(golden, loaded, difference):
    model = loaded("torchvision_bottleneck", bottleneck_stride="first")
    checkpoint = golden("torchvision_bottleneck")
    assert difference(model(checkpoint.inputs), checkpoint.reference["logits"]) > 1e-2


def test_timm_tells_the_preprocessing(loaded):
    preprocessing = loaded("timm_resnet50").preprocessing
    assert (preprocessing.image_size, preprocessing.resize_to, preprocessing.resample) == (224, 235, "bicubic")
