import pytest

from tlj.benchmark.topology.slices import parse_slices
from tlj.errors import InputError


def test_a_shape_is_in_chips_whatever_a_chip_has_of_cores():
    found = parse_slices("v4:2x2x1, v5e:4x4,v5p:2x2x2,V6E:16x16")
    assert [(one.accelerator.name, one.chips) for one in found] == [
        ("TPU v4", 4), ("TPU v5e", 16), ("TPU v5p", 8), ("TPU v6e", 256),
    ]  # fmt: skip
    assert [one.name for one in found] == ["v4:2x2x1", "v5e:4x4", "v5p:2x2x2", "V6E:16x16"]


@pytest.mark.parametrize(
    ("name", "compiler_name", "chips"),
    [
        ("v4-8", "v4:2x2x1", 4),
        ("v4-32", "v4:2x2x4", 16),
        ("v5p-128", "v5p:4x4x4", 64),
        ("v5e-16", "v5e:4x4", 16),
        ("v5litepod-16", "v5e:4x4", 16),
        ("v6e-8", "v6e:2x4", 8),
    ],
)
def test_a_count_is_of_cores_where_clouds_count_cores_and_else_of_chips(name, compiler_name, chips):
    (found,) = parse_slices(name)
    assert (found.name, found.compiler_name, found.chips) == (name, compiler_name, chips)


def test_a_v4_chip_is_one_device_and_a_single_chip_has_a_host_of_its_own():
    v4, one, four = parse_slices("v4:2x2x1,v5e:1x1,v5e:2x2")
    assert v4.options == {"chip_config_name": "megacore"}
    assert one.options == {"chips_per_host_bounds": [1, 1, 1]}
    assert four.options == {}


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("v5e:4x5", "v5e:4x8"),
        ("v5e:3x3", "v5e:8x8"),
        ("v5e:1x4", "v5e:4x4"),
        ("v5e:32x32", "v5e:2x2"),
        ("v4:1x1x1", "v4:8x16x16"),
        ("v7x:2x2x1", "v4:2x2x1"),
        ("v5e-15", "v5e-16"),
        ("v4-30", "v4-32"),
        ("", None),
    ],
)
def test_what_is_no_slice_is_refused_with_the_valid_ones_before_any_compiler_starts(name, nearest):
    with pytest.raises(InputError, match="unknown topology") as refused:
        parse_slices(f"v6e:2x2,{name}")
    message = str(refused.value)
    assert message.startswith("--topology: ")
    assert "v5e or v6e, with :1x1, :2x2, :2x4, :4x4, :4x8, :8x8, :8x16, :16x16; or a count, such as v5e-16" in message
    assert refused.value.nearest == nearest


def test_a_shape_with_too_few_axes_says_how_many_there_are():
    with pytest.raises(InputError, match="v4:2x2: slices of v4 have 3 axes; did you mean 'v4:2x2x2'"):
        parse_slices("v4:2x2")


def test_a_slice_that_stands_twice_under_two_names_is_refused():
    with pytest.raises(InputError, match="v5e:4x4 stands twice"):
        parse_slices("v5e:4x4,v5litepod-16")
