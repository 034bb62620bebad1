"""ResNets under torch names, read into sources."""

import json
import warnings

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.pretrained.formats.torch_names import torch_resnet
from tlj.data.images import Preprocessing
from tlj.errors import InputError
from tlj.models.shapes import leaf_shapes
from tlj.pretrained.formats.checkpoint import assemble
from tlj.pretrained.formats.name_map import entries
from tlj.pretrained.formats.resnet_variant import variant_json
from tlj.pretrained.formats.torch_resnet import is_torch_resnet, modules, read_torch_resnet
from tlj.pretrained.overrides import Overrides

MEAN = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
IMAGES = {"image_size": 24, "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}


@pytest.fixture
def put(tmp_path):
    """Writes a directory of arrays and, if told, a ``tlj.json``: ``put(arrays, settings=...)``."""

    def write(arrays, **told):
        save_file(arrays, tmp_path / "model.safetensors")
        if told:
            (tmp_path / "tlj.json").write_text(json.dumps({"family": "resnet", **told}))
        return tmp_path

    return write


def read(path, **overrides):
    return assemble(read_torch_resnet(path, Overrides({**MEAN, **overrides})))


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize(("stem", "downsample"), [("imagenet", "downsample"), ("cifar", "shortcut"), ("cifar", "")])
def test_every_array_is_a_leaf_or_a_count_of_batches(put, block, stem, downsample):
    arrays = torch_resnet(block, stem, (2, 1), (4, 8), 4, 3, downsample)
    source = read(put(arrays), bottleneck_stride="second")
    taken = {name for leaf in source.leaves.values() for name in leaf.names}
    assert taken == {name for name in arrays if not name.endswith("num_batches_tracked")}
    assert {row.note for row in source.ignored} == {"counts the batches that a norm has seen"}


def test_values_arrive_where_they_belong(put):
    arrays = torch_resnet("bottleneck", depths=(1, 2))
    leaves = read(put(arrays), bottleneck_stride="first").leaves
    expected = {
        "params/backbone/embedding/conv/kernel": arrays["conv1.weight"].transpose(2, 3, 1, 0),
        "params/backbone/block1/shortcut/conv/kernel": arrays["layer2.0.downsample.0.weight"].transpose(2, 3, 1, 0),
        "batch_stats/backbone/block1/shortcut/norm/var": arrays["layer2.0.downsample.1.running_var"],
        "params/backbone/block2/conv2/conv/kernel": arrays["layer2.1.conv3.weight"].transpose(2, 3, 1, 0),
        "params/backbone/block2/conv1/norm/scale": arrays["layer2.1.bn2.weight"],
        "batch_stats/backbone/block2/conv0/norm/mean": arrays["layer2.1.bn1.running_mean"],
        "params/head/kernel": arrays["fc.weight"].T,
    }
    for path, values in expected.items():
        np.testing.assert_array_equal(leaves[path].read(), values)


@pytest.mark.parametrize("downsample", ["downsample", ""])
def test_the_name_map_goes_both_ways(put, downsample):
    arrays = torch_resnet(downsample=downsample)
    source = read(put(arrays))
    written = {}
    for entry in entries(modules(source.spec), leaf_shapes(source.spec), "torch"):
        written |= dict(zip(entry.names, entry.to_stored(source.leaves[entry.path].read()), strict=True))
    assert written.keys() == {name for name in arrays if not name.endswith("num_batches_tracked")}
    for name, values in written.items():
        np.testing.assert_array_equal(values, arrays[name])


def test_where_a_bottleneck_strides_has_to_be_told(put):
    directory = put(torch_resnet("bottleneck"))
    with pytest.raises(InputError, match="give bottleneck_stride='second'"):
        read(directory)
    assert read(directory, bottleneck_stride="first").spec.bottleneck_stride == "first"


def test_a_basic_block_needs_nothing_told(put):
    assert read(put(torch_resnet())).spec.block == "basic"


def test_what_the_file_beside_tells_wins_over_the_usual(put):
    told = {"bottleneck_stride": "first", "epsilon": 1e-3, "first_stage_stride": 2}
    directory = put(torch_resnet("bottleneck"), settings=told, preprocessing=IMAGES, classes=["a", "b", "c"])
    source = assemble(read_torch_resnet(directory, Overrides({})))
    spec = source.spec
    assert (spec.bottleneck_stride, spec.epsilon, spec.first_stage_stride, spec.image_size) == ("first", 1e-3, 2, 24)
    assert source.preprocessing == Preprocessing(24, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert source.classes == ("a", "b", "c")


def test_what_describes_a_model_describes_it_again(put, tmp_path):
    first = read(put(torch_resnet("bottleneck", "cifar")), bottleneck_stride="first", image_size=20, epsilon=1e-4)
    (tmp_path / "tlj.json").write_text(json.dumps(variant_json(first.spec, first.preprocessing, ())))
    again = assemble(read_torch_resnet(tmp_path, Overrides({})))
    assert (again.spec, again.preprocessing) == (first.spec, first.preprocessing)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"block": "bottleneck"}, r"tlj.json: block = 'bottleneck', but the shapes in .* make it 'basic'"),
        ({"stage_depths": [3, 4]}, r"stage_depths = \[3, 4\], but the shapes .* \(2, 1\)"),
        ({"shortcut": "padding"}, "shortcut = 'padding', but the shapes .* 'projection'"),
        ({"stem": "cifar"}, "stem = 'cifar', but the shapes .* 'imagenet'"),
        ({"epsilon": "small"}, "tlj.json: epsilon = 'small'"),
        ({"bottleneck_stride": "third"}, "third"),
    ],
)
def test_what_is_told_and_contradicts_is_refused_with_both(put, settings, message):
    with pytest.raises(InputError, match=message):
        read(put(torch_resnet(), settings=settings))


@pytest.mark.parametrize(
    ("settings", "overrides", "message"),
    [
        ({}, {"block": "bottleneck"}, "the source has block = 'basic', not 'bottleneck'"),
        ({"first_stage_stride": 2}, {"first_stage_stride": 1}, "the source has first_stage_stride = 2, not 1"),
    ],
)
def test_the_user_cannot_contradict_the_source(put, settings, overrides, message):
    with pytest.raises(InputError, match=message):
        read(put(torch_resnet(), settings=settings), **overrides)


def test_names_of_classes_are_as_many_as_the_head_gives(put):
    with pytest.raises(InputError, match=r"2 names of classes, but the head in model.safetensors has 3"):
        read(put(torch_resnet(), classes=["a", "b"]))


@pytest.mark.parametrize(
    ("stem", "size", "resize_to", "crop"), [("imagenet", 224, 256, "cut from 256"), ("cifar", 32, 0, "32 pixels are")]
)
def test_without_a_preprocessing_the_usual_one_is_assumed_aloud(put, stem, size, resize_to, crop):
    with pytest.warns(UserWarning, match=rf"mean and std of ImageNet.*{crop}"):
        found = read_torch_resnet(put(torch_resnet(stem=stem)), Overrides({})).preprocessing
    assert (found.image_size, found.resize_to) == (size, resize_to)
    assert found.mean == (0.485, 0.456, 0.406)


def test_a_preprocessing_that_the_user_tells_is_no_reason_to_warn(put):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read(put(torch_resnet(stem="cifar")), image_size=28)
    assert found.preprocessing == Preprocessing(28, (0.5,) * 3, (0.25,) * 3)
    assert found.spec.image_size == 28


def test_a_block_that_lacks_an_array_is_listed_with_all_others(put):
    arrays = torch_resnet()
    for name in ("layer1.1.bn2.weight", "layer2.0.conv2.weight"):
        del arrays[name]
    arrays["layer1.1.conv1.bias"] = np.ones(4, np.float32)
    with pytest.raises(
        InputError, match=r"missing layer1.1.bn2.weight.*missing layer2.0.conv2.weight.*extra layer1.1.conv1.b"
    ):
        read(put(arrays))


def test_a_file_alone_is_taken_for_a_resnet_and_refused_if_it_is_none(put):
    directory = put({"encoder.weight": np.ones(3, np.float32)})
    assert is_torch_resnet(directory / "model.safetensors")
    with pytest.raises(InputError, match="no ResNet under torch names"):
        read(directory / "model.safetensors")


@pytest.mark.parametrize(
    ("one", "other"),
    [((0.0, 1e-5), (1.0, 1e-5)), ((0.0, 1e-5), (0.0, 1e-4))],
    ids=["weights", "what is told beside them"],
)
def test_whatever_changes_the_model_changes_its_identity(put, one, other):
    def identity(bias, epsilon):
        arrays = torch_resnet()
        arrays["fc.bias"][0] = bias
        return read(put(arrays, settings={"epsilon": epsilon})).identity

    assert identity(*one) == identity(*one) != identity(*other)
