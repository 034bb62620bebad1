"""From the arrays of a checkpoint to the leaves of a model."""

import dataclasses

import numpy as np
import pytest

from tlj.data.images import Preprocessing
from tlj.errors import InputError
from tlj.models.shapes import leaf_shapes
from tlj.models.vit import ViTSpec
from tlj.pretrained.files.stored import StoredArray, in_memory
from tlj.pretrained.formats.checkpoint import POSITIONS, Checkpoint, assemble
from tlj.pretrained.formats.name_map import Module

SPEC = ViTSpec(num_classes=3, image_size=8, patch_size=4, width=8, depth=1, heads=2)
PATHS = [path.removeprefix("params/") for path in leaf_shapes(SPEC)]
MODULES = tuple(Module(path, (path.replace("/", "."),), "leaf", (path.replace("/", "."),)) for path in PATHS)
UP = "backbone.block0.mlp.up.kernel"


def arrays(spec: ViTSpec = SPEC) -> dict[str, StoredArray]:
    rng = np.random.default_rng(0)
    shapes = {path.removeprefix("params/").replace("/", "."): shape for path, shape in leaf_shapes(spec).items()}
    return {name: in_memory(name, rng.normal(size=shape).astype(np.float32)) for name, shape in shapes.items()}


def checkpoint(found=None, **fields) -> Checkpoint:
    values = dict(
        spec=SPEC,
        stored_spec=SPEC,
        modules=MODULES,
        layout="flax",
        arrays=arrays() if found is None else found,
        unused={},
        preprocessing=Preprocessing(8, (0.5,) * 3, (0.5,) * 3),
        location="weights.file",
    )
    return Checkpoint(**{**values, **fields})


def test_every_leaf_reads_as_its_array_holds_it_and_tells_its_name():
    found = arrays()
    source = assemble(checkpoint(found))
    assert set(source.leaves) == set(leaf_shapes(SPEC))
    for path, leaf in source.leaves.items():
        name = path.removeprefix("params/").replace("/", ".")
        assert leaf.source == name
        np.testing.assert_array_equal(leaf.read(), found[name].read())
    assert (source.ignored, source.reset) == ((), frozenset())


def test_no_value_is_read_until_it_is_asked_for():
    reads = []

    def counted(array: StoredArray) -> StoredArray:
        return dataclasses.replace(array, read=lambda: reads.append(array.name) or array.read())

    found = {name: counted(array) for name, array in arrays().items()}
    extra = counted(in_memory("optimizer", np.zeros(3)))
    source = assemble(checkpoint({**found, "optimizer": extra}, unused={"optimizer": "state of the optimizer"}))
    assert reads == []
    source.leaves[f"params/{UP.replace('.', '/')}"].read()
    assert reads == [UP]


def test_everything_that_does_not_fit_is_listed_in_one_error():
    found = arrays()
    del found["head.bias"]
    found["surplus"] = in_memory("surplus", np.zeros((2, 3), np.float32))
    found[UP] = in_memory(UP, np.zeros((8, 31), np.float32))
    found["backbone.norm.scale"] = in_memory("backbone.norm.scale", np.zeros(8, np.int64))
    with pytest.raises(InputError) as caught:
        assemble(checkpoint(found))
    for problem in (
        "4 arrays do not fit",
        "missing head.bias",
        "extra surplus (2, 3)",
        f"{UP} has shape (8, 31), the model wants (8, 32)",
        "backbone.norm.scale holds int64, not floating-point numbers",
        "weights.file",
        "allow_missing",
    ):
        assert problem in str(caught.value)


@pytest.mark.parametrize("allowed", [["head.bias", "surplus", UP], ["head.*", "sur.*", ".*mlp.up.*"], ["(?!x).*"]])
def test_what_allow_missing_names_starts_anew_or_is_ignored(allowed):
    found = arrays()
    del found["head.bias"]
    found["surplus"] = in_memory("surplus", np.zeros((2, 3), np.float32))
    found[UP] = in_memory(UP, np.zeros((8, 31), np.float32))
    source = assemble(checkpoint(found), allowed)
    assert source.reset == {"params/head/bias", f"params/{UP.replace('.', '/')}"}
    assert not source.reset & set(source.leaves)
    anew = "allowed: the model's own starts anew"
    assert {leaf.source: leaf.note for leaf in source.ignored} == {"surplus": "allowed", UP: anew}


def test_all_arrays_of_a_leaf_that_starts_anew_are_accounted_for():
    parts = tuple(f"qkv.{part}" for part in ("query", "key", "value"))
    path = "backbone/block0/attention/query_key_value"
    others = [module for module in MODULES if not module.ours.startswith(path)]
    found = {name: array for name, array in arrays().items() if not name.startswith(path.replace("/", "."))}
    for part in parts:
        found[f"{part}/kernel"] = in_memory(f"{part}/kernel", np.zeros((8, 8), np.float32))
        found[f"{part}/bias"] = in_memory(f"{part}/bias", np.zeros(8, np.float32))
    del found["qkv.query/kernel"]
    source = assemble(checkpoint(found, modules=(*others, Module(path, parts, "dense", parts))), ["qkv.query.*"])
    assert source.reset == {f"params/{path}/kernel"}
    assert [leaf.source for leaf in source.ignored] == ["qkv.key/kernel", "qkv.value/kernel"]


def test_a_path_of_the_model_may_be_allowed_as_well_and_half_a_name_allows_nothing():
    found = arrays()
    del found["head.bias"]
    assert assemble(checkpoint(found), ["params/head/bias"]).reset == {"params/head/bias"}
    with pytest.raises(InputError, match=r"missing head\.bias"):
        assemble(checkpoint(found), ["head", "bias"])


@pytest.mark.parametrize("pattern", ["(", 3])
def test_a_pattern_that_is_no_regular_expression_is_refused(pattern):
    with pytest.raises(InputError, match=r"allow_missing: .* is not a regular expression"):
        assemble(checkpoint(), ["head.*", pattern])


def test_arrays_that_are_known_to_be_of_no_use_are_ignored_with_the_reason():
    found = {**arrays(), "cls.bias": in_memory("cls.bias", np.zeros(2)), "ids": in_memory("ids", np.arange(3))}
    unused = {r"cls\..*": "the head of pretraining", "ids": "a buffer"}
    source = assemble(checkpoint(found, unused=unused))
    assert {leaf.source: leaf.note for leaf in source.ignored} == {
        "cls.bias": "the head of pretraining",
        "ids": "a buffer",
    }


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_refused_with_the_name_of_its_array(bad):
    found = arrays()
    values = found[UP].read().copy()
    values[3, 4] = bad
    found[UP] = in_memory(UP, values)
    leaf = assemble(checkpoint(found)).leaves[f"params/{UP.replace('.', '/')}"]
    with pytest.raises(InputError, match=f"{UP} has 1 of 256 numbers that are NaN or infinite"):
        leaf.read()


def test_half_precision_is_read_as_float32():
    found = {name: in_memory(name, array.read().astype(np.float16)) for name, array in arrays().items()}
    leaf = assemble(checkpoint(found)).leaves["params/head/kernel"]
    assert leaf.read().dtype == np.float32
    np.testing.assert_array_equal(leaf.read(), found["head.kernel"].read())


def test_a_number_beyond_float32_is_not_taken_for_infinity():
    found = arrays()
    found[UP] = in_memory(UP, np.full((8, 32), 1e300))
    leaf = assemble(checkpoint(found)).leaves[f"params/{UP.replace('.', '/')}"]
    with pytest.raises(InputError, match="256 of 256 numbers"):
        leaf.read()


def test_positions_alone_are_resized_for_another_resolution():
    spec = dataclasses.replace(SPEC, image_size=16)
    source = assemble(checkpoint(spec=spec))
    noted = {path: leaf.note for path, leaf in source.leaves.items() if leaf.note}
    assert noted == {POSITIONS: "bicubic from 2x2 to 4x4"}
    assert source.leaves[POSITIONS].read().shape == (1, 17, 8)


def test_positions_that_do_not_fit_their_own_resolution_are_misshapen_and_not_resized():
    told, wanted = (dataclasses.replace(SPEC, image_size=size) for size in (12, 16))
    with pytest.raises(InputError, match=r"position has shape \(1, 5, 8\), the model wants \(1, 10, 8\)"):
        assemble(checkpoint(spec=wanted, stored_spec=told))


def test_a_setting_that_moves_no_array_resizes_nothing():
    source = assemble(checkpoint(spec=dataclasses.replace(SPEC, dropout=0.2)))
    assert not any(leaf.note for leaf in source.leaves.values())
