"""ViTs in npz files, with the names of vision_transformer and of big_vision."""

import numpy as np
import pytest

from tlj.errors import InputError
from tlj.pretrained.formats.checkpoint import POSITIONS, assemble
from tlj.pretrained.formats.npz_vit import read_npz_vit
from tlj.pretrained.formats.positions import resize_positions
from tlj.pretrained.overrides import Overrides

WIDTH, HEADS, MLP, PATCH, GRID, CLASSES, DEPTH = 8, 2, 12, 2, 3, 5, 2
BLOCK = "params/backbone/block1"


def block_arrays(draw, attention, mlp_norm, mlp):
    inner = (WIDTH, HEADS, WIDTH // HEADS)
    found = {}
    for norm in ("LayerNorm_0", f"LayerNorm_{mlp_norm}"):
        found |= {f"{norm}/{leaf}": draw(WIDTH) for leaf in ("scale", "bias")}
    for part in ("query", "key", "value"):
        name = f"MultiHeadDotProductAttention_{attention}/{part}"
        found |= {f"{name}/kernel": draw(*inner), f"{name}/bias": draw(*inner[1:])}
    name = f"MultiHeadDotProductAttention_{attention}/out"
    found |= {f"{name}/kernel": draw(*inner[1:], WIDTH), f"{name}/bias": draw(WIDTH)}
    found |= {f"MlpBlock_{mlp}/Dense_0/kernel": draw(WIDTH, MLP), f"MlpBlock_{mlp}/Dense_0/bias": draw(MLP)}
    return found | {f"MlpBlock_{mlp}/Dense_1/kernel": draw(MLP, WIDTH), f"MlpBlock_{mlp}/Dense_1/bias": draw(WIDTH)}


def augreg(position="Transformer/posembed_input/pos_embedding", class_position=1, blocks=(1, 2, 3), **more):
    """The arrays of a tiny ViT as vision_transformer saves them; ``more`` are shapes of further arrays."""
    random = np.random.default_rng(0)

    def draw(*shape):
        return random.standard_normal(shape).astype(np.float32)

    found = {"embedding/kernel": draw(PATCH, PATCH, 3, WIDTH), "embedding/bias": draw(WIDTH), "cls": draw(1, 1, WIDTH)}
    found |= {"Transformer/encoder_norm/scale": draw(WIDTH), "Transformer/encoder_norm/bias": draw(WIDTH)}
    found |= {"head/kernel": draw(WIDTH, CLASSES), "head/bias": draw(CLASSES)}
    found[position] = draw(1, GRID**2 + class_position, WIDTH)
    for i in range(DEPTH):
        arrays = block_arrays(draw, *blocks)
        found |= {f"Transformer/encoderblock_{i}/{name}": values for name, values in arrays.items()}
    return found | {name: draw(*shape) for name, shape in more.items()}


def big_vision(class_position=0, **more):
    return augreg("pos_embedding", class_position, (0, 1, 0), **more)


def scanned(arrays):
    first = "Transformer/encoderblock_0/"
    whole = {name: values for name, values in arrays.items() if "encoderblock_" not in name}
    for name in (name.removeprefix(first) for name in arrays if name.startswith(first)):
        stack = [arrays[f"Transformer/encoderblock_{i}/{name}"] for i in range(DEPTH)]
        whole[f"Transformer/encoderblock/{name}"] = np.stack(stack)
    return whole


def without(arrays, *starts):
    return {name: values for name, values in arrays.items() if not name.startswith(starts)}


@pytest.fixture
def read(tmp_path):
    """Writes arrays and reads them as a source: ``read(arrays, image_size=...)``."""

    def run(arrays, **overrides):
        # A file of its own for each, as a source reads when its leaves are asked for.
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.npz"
        np.savez(path, **arrays)
        return assemble(read_npz_vit(path, Overrides(overrides)))

    return run


def test_sizes_are_those_of_the_shapes(read):
    source = read(augreg())
    spec = source.spec
    sizes = (spec.width, spec.depth, spec.heads, spec.mlp_width, spec.patch_size, spec.image_size, spec.num_classes)
    assert sizes == (WIDTH, DEPTH, HEADS, MLP, PATCH, PATCH * GRID, CLASSES)
    assert (spec.activation, spec.epsilon, spec.pool, spec.class_token) == ("gelu_tanh", 1e-6, "first", True)
    preprocessing = source.preprocessing
    assert (preprocessing.image_size, preprocessing.mean, preprocessing.std) == (6, (0.5,) * 3, (0.5,) * 3)
    assert preprocessing.resample == "bilinear"


def test_heads_are_laid_side_by_side(read):
    arrays = augreg()
    leaves = read(arrays).leaves
    attention = "Transformer/encoderblock_1/MultiHeadDotProductAttention_1"
    stacked = [arrays[f"{attention}/{part}/kernel"].reshape(WIDTH, WIDTH) for part in ("query", "key", "value")]
    found = leaves[f"{BLOCK}/attention/query_key_value/kernel"].read()
    np.testing.assert_array_equal(found, np.stack(stacked, axis=1))
    biases = [arrays[f"{attention}/{part}/bias"].reshape(WIDTH) for part in ("query", "key", "value")]
    np.testing.assert_array_equal(leaves[f"{BLOCK}/attention/query_key_value/bias"].read(), np.stack(biases))
    out = arrays[f"{attention}/out/kernel"].reshape(WIDTH, WIDTH)
    np.testing.assert_array_equal(leaves[f"{BLOCK}/attention/out/kernel"].read(), out)


@pytest.mark.parametrize(
    ("arrays", "names"),
    [(augreg(), ("LayerNorm_2", "MlpBlock_3")), (big_vision(), ("LayerNorm_1", "MlpBlock_0"))],
    ids=["vision_transformer", "big_vision"],
)
def test_both_codes_numbers_of_layers_are_known(read, arrays, names):
    leaves, block = read(arrays).leaves, "Transformer/encoderblock_1"
    norm, down = leaves[f"{BLOCK}/mlp_norm/scale"].read(), leaves[f"{BLOCK}/mlp/down/kernel"].read()
    np.testing.assert_array_equal(norm, arrays[f"{block}/{names[0]}/scale"])
    np.testing.assert_array_equal(down, arrays[f"{block}/{names[1]}/Dense_1/kernel"])


@pytest.mark.parametrize(
    ("prefix", "others"),
    [
        ("params/", ("opt/state/step",)),
        ("params/img/", ("params/t", "params/txt/head/bias")),
        ("opt/target/", ("opt/state/step",)),
        ("target/", ("state/step",)),
    ],
)
def test_a_model_inside_a_larger_checkpoint_is_found(read, prefix, others):
    arrays = {f"{prefix}{name}": values for name, values in augreg().items()}
    source = read(arrays | dict.fromkeys(others, np.ones(1, np.float32)))
    np.testing.assert_array_equal(source.leaves["params/head/bias"].read(), augreg()["head/bias"])
    assert [row.names for row in source.ignored] == [(name,) for name in others]
    assert all("another part" in row.note for row in source.ignored)


def test_a_scanned_stack_is_the_same_model_as_its_blocks(read):
    whole, apart = read(scanned(big_vision())).leaves, read(big_vision()).leaves
    assert whole.keys() == apart.keys()
    for path in whole:
        np.testing.assert_array_equal(whole[path].read(), apart[path].read())


def test_without_a_class_token_the_patches_are_averaged(read):
    source = read(without(big_vision(), "cls"))
    assert (source.spec.pool, source.spec.class_token, source.spec.image_size) == ("mean", False, 6)
    assert source.leaves[POSITIONS].shape == (1, 9, WIDTH)


def test_big_visions_class_token_has_no_position(read):
    arrays = big_vision()
    positions = read(arrays).leaves[POSITIONS].read()
    np.testing.assert_array_equal(positions[:, 0], 0)
    np.testing.assert_array_equal(positions[:, 1:], arrays["pos_embedding"])


def test_positions_between_the_two_codes_are_found(read):
    name = "Transformer/pos_embedding"
    arrays = augreg(name)
    np.testing.assert_array_equal(read(arrays).leaves[POSITIONS].read(), arrays[name])


def test_pre_logits_are_the_pooler(read):
    source = read(augreg(**{"pre_logits/kernel": (WIDTH, WIDTH), "pre_logits/bias": (WIDTH,)}))
    assert source.spec.pool == "pooler"
    assert "params/backbone/pooler/kernel" in source.leaves


def test_another_pool_leaves_pre_logits_aside(read):
    arrays = augreg(**{"pre_logits/kernel": (WIDTH, WIDTH), "pre_logits/bias": (WIDTH,)})
    source = read(arrays, pool="mean")
    assert {row.names[0]: row.note for row in source.ignored} == {
        f"pre_logits/{leaf}": "the model pools otherwise" for leaf in ("bias", "kernel")
    }


def test_without_a_head_there_are_no_classes(read):
    source = read(without(augreg(), "head/"))
    assert source.spec.num_classes == 0
    assert not [path for path in source.leaves if "head" in path]


@pytest.mark.parametrize("arrays", [augreg(), big_vision()], ids=["vision_transformer", "big_vision"])
def test_another_resolution_resizes_positions_bilinearly(read, arrays):
    leaf, own = read(arrays, image_size=10).leaves[POSITIONS], read(arrays).leaves[POSITIONS].read()
    assert leaf.note == "bilinear from 3x3 to 5x5"
    expected = resize_positions(own, (1, 26, WIDTH), has_class_token=True, method="bilinear")
    np.testing.assert_array_equal(leaf.read(), expected)


def test_what_no_shape_tells_may_be_told(read):
    spec = read(augreg(), activation="gelu", epsilon=1e-5).spec
    assert (spec.activation, spec.epsilon) == ("gelu", 1e-5)


def test_what_the_shapes_tell_cannot_be_overridden(read):
    with pytest.raises(InputError, match="the source has heads = 2, not 4"):
        read(augreg(), heads=4)


def changed(name, shape):
    return augreg() | {name: np.zeros(shape, np.float32)}


QUERY = "Transformer/encoderblock_{}/MultiHeadDotProductAttention_1/query/kernel"
REFUSED = {
    "hybrid": (augreg(**{"conv_root/kernel": (7, 7, 3, 4)}), "conv_root/kernel belongs to a hybrid"),
    "map head": (big_vision(**{"MAPHead_0/probe": (1, 1, WIDTH)}), "MAPHead_0/probe belongs to pooling by attention"),
    "fixed positions": (without(big_vision(), "pos_embedding"), "sincos2d"),
    "rows of positions": (changed("Transformer/posembed_input/pos_embedding", (1, 7, WIDTH)), "no square of patches"),
    "pre_logits of a mean": (
        without(big_vision(**{"pre_logits/kernel": (WIDTH, WIDTH)}), "cls"),
        "pre_logits/kernel after the mean over patches",
    ),
    "wide pre_logits": (augreg(**{"pre_logits/kernel": (WIDTH, 4), "pre_logits/bias": (4,)}), "pre_logits/kernel has"),
    "two models": (augreg() | {f"params/{n}": v for n, v in augreg().items()}, "a ViT below each of"),
    "no ViT": ({"conv/kernel": np.zeros(3, np.float32)}, "holds no embedding/kernel, but conv/kernel"),
    "long patches": (changed("embedding/kernel", (2, 3, 3, WIDTH)), r"not \(patch, patch, 3, width\)"),
    "grey images": (changed("embedding/kernel", (2, 2, 1, WIDTH)), r"not \(patch, patch, 3, width\)"),
    "other heads": (changed(QUERY.format(1), (WIDTH, 4, 2)), "not 2 heads of 4 in every block: Transformer/encoderb"),
    "heads of another width": (changed(QUERY.format(0), (WIDTH, 2, 2)), "2 heads of 2, but the width is 8"),
    "missing and extra": (
        without(augreg(**{"head/scale": (3,)}), "Transformer/encoderblock_1/LayerNorm_2"),
        "missing Transformer/encoderblock_1/LayerNorm_2/scale.*extra head/scale",
    ),
    "uneven stacks": (
        scanned(big_vision()) | {"Transformer/encoderblock/LayerNorm_0/bias": np.zeros((3, WIDTH), np.float32)},
        r"stacks of \[2, 3\] blocks",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_implemented_is_refused_by_name(read, case):
    arrays, message = REFUSED[case]
    with pytest.raises(InputError, match=message):
        read(arrays)
