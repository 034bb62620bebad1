"""The npz files of google-research/vision_transformer and of big_vision: sizes from the shapes, names of both."""

from __future__ import annotations

import dataclasses
import functools
import math
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from tlj.data.images import Preprocessing
from tlj.errors import InputError
from tlj.models.vit import ViTSpec
from tlj.pretrained.files.npz_file import open_npz
from tlj.pretrained.files.stored import StoredArray
from tlj.pretrained.formats.checkpoint import Checkpoint
from tlj.pretrained.formats.name_map import Module
from tlj.pretrained.identity import content_identity
from tlj.pretrained.overrides import Overrides

# Where the two codes keep the model in the files that they write.
_PREFIXES = ("", "params/", "params/img/", "opt/target/", "target/")
_PATCHES = "embedding/kernel"
# In the order of the codes' own history: vision_transformer, big_vision until 2022, big_vision.
_POSITIONS = ("Transformer/posembed_input/pos_embedding", "Transformer/pos_embedding", "pos_embedding")
_SCANNED = "Transformer/encoderblock/"
_BLOCK = re.compile(r"Transformer/encoderblock_(\d+)/")
_MOST_BLOCKS = 1000
_NOT_IMPLEMENTED = {
    r"(conv_root|gn_root|block\d+)/.*": "a hybrid: a ResNet in front of the ViT",
    r"MAPHead_0/.*|probe": "pooling by attention",
    r".*/(q|k|query|key)_?norm.*/.*": "a norm of queries and keys",
}


@dataclasses.dataclass(frozen=True)
class _Layout:
    """Numbers that Flax gave the layers of a block, by the order in which each code makes them."""

    attention: int
    mlp_norm: int
    mlp: int


_VISION_TRANSFORMER = _Layout(attention=1, mlp_norm=2, mlp=3)
_BIG_VISION = _Layout(attention=0, mlp_norm=1, mlp=0)


def read_npz_vit(path: pathlib.Path, chosen: Overrides) -> Checkpoint:
    """Reads what an npz file of a ViT says of itself; no value is read.

    Widths, depth, heads, patch and image size, classes and pooling are those of the shapes. What no shape tells is as
    in the code that wrote the files: tanh GELU, LayerNorm's epsilon of 1e-6, images scaled to [-1, 1] and resized
    bilinearly, positions resized by ``scipy.ndimage.zoom``; a user may tell another ``activation`` or ``epsilon``.

    Args:
      path: of the file.
      chosen: what the user says.

    Raises:
      InputError: where it is another model, or a part of it is not implemented.
    """
    everything = open_npz(path)
    prefix = _prefix(everything, path)
    arrays = {name.removeprefix(prefix): array for name, array in everything.items() if name.startswith(prefix)}
    others = {name: array for name, array in everything.items() if not name.startswith(prefix)}
    if shared := sorted(set(arrays) & set(others)):
        raise _refusal(path, f"holds {shared[0]!r} below {prefix!r} and beside it", "save one model alone")
    _check_implemented(arrays, path)
    arrays = _single_blocks(arrays, path)
    stored = _spec(arrays, chosen, path)
    position, arrays = _with_class_row(arrays, stored)
    spec = chosen.adjust(stored)
    preprocessing = Preprocessing(image_size=stored.image_size, mean=(0.5,) * 3, std=(0.5,) * 3, resample="bilinear")
    unused = {re.escape(name): "of another part of the checkpoint than the model" for name in others}
    if spec.pool != "pooler":
        unused["pre_logits/.*"] = "the model pools otherwise"
    return Checkpoint(
        spec,
        stored,
        modules(spec, position, _layout(arrays)),
        "npz",
        {**others, **arrays},
        unused,
        chosen.on_preprocessing(preprocessing, spec),
        resize="bilinear",
        location=str(path),
        identity=content_identity([path]),
    )


def modules(spec: ViTSpec, position: str, layout: _Layout) -> tuple[Module, ...]:
    """Returns where a file holds each layer of a model.

    Args:
      spec: of the model.
      position: name of its position embeddings.
      layout: of its blocks.
    """
    found = [
        Module("backbone/embedding/patch", ("embedding",), "conv"),
        Module("backbone/embedding/position", (position,), "leaf"),
        Module("backbone/embedding/class_token", ("cls",), "leaf"),
        Module("backbone/norm", ("Transformer/encoder_norm",), "norm"),
        Module("backbone/pooler", ("pre_logits",), "dense"),
        Module("head", ("head",), "dense"),
    ]
    for i in range(spec.depth):
        ours, theirs = f"backbone/block{i}", f"Transformer/encoderblock_{i}"
        attention, mlp = f"{theirs}/MultiHeadDotProductAttention_{layout.attention}", f"{theirs}/MlpBlock_{layout.mlp}"
        parts = tuple(f"{attention}/{part}" for part in ("query", "key", "value"))
        found += [
            Module(f"{ours}/attention_norm", (f"{theirs}/LayerNorm_0",), "norm"),
            Module(f"{ours}/attention/query_key_value", parts, "dense"),
            Module(f"{ours}/attention/out", (f"{attention}/out",), "dense"),
            Module(f"{ours}/mlp_norm", (f"{theirs}/LayerNorm_{layout.mlp_norm}",), "norm"),
            Module(f"{ours}/mlp/up", (f"{mlp}/Dense_0",), "dense"),
            Module(f"{ours}/mlp/down", (f"{mlp}/Dense_1",), "dense"),
        ]
    return tuple(found)


def _prefix(names: Mapping[str, Any], path: pathlib.Path) -> str:
    found = [prefix for prefix in _PREFIXES if prefix + _PATCHES in names]
    if len(found) > 1:
        raise _refusal(path, f"holds a ViT below each of {found}", "save one model alone")
    if not found:
        some = ", ".join(sorted(names)[:5]) or "nothing"
        raise _refusal(
            path, f"is no ViT: it holds no {_PATCHES}, but {some}, ...", "give a ViT in the layout of vit_jax"
        )
    return found[0]


def _check_implemented(arrays: Mapping[str, StoredArray], path: pathlib.Path) -> None:
    for pattern, what in _NOT_IMPLEMENTED.items():
        if names := sorted(name for name in arrays if re.fullmatch(pattern, name)):
            raise _refusal(path, f"{names[0]} belongs to {what}, which is not implemented", "choose another checkpoint")
    if not any(name in arrays for name in _POSITIONS):
        what = "it holds no pos_embedding: fixed positions (sincos2d) are not implemented"
        raise _refusal(path, what, "choose a checkpoint with learnt positions")


def _single_blocks(arrays: Mapping[str, StoredArray], path: pathlib.Path) -> dict[str, StoredArray]:
    """Takes the arrays of a scanned stack, which hold all blocks along their first axis, apart."""
    depths = {(array.shape or (0,))[0] for name, array in arrays.items() if name.startswith(_SCANNED)}
    if not depths:
        return dict(arrays)
    if len(depths) > 1 or not 1 <= min(depths) <= _MOST_BLOCKS:
        raise _refusal(path, f"{_SCANNED} holds stacks of {sorted(depths)} blocks", "get the checkpoint again")
    found = {}
    for name, array in arrays.items():
        if not name.startswith(_SCANNED):
            found[name] = array
            continue
        for i in range(array.shape[0]):
            one = f"Transformer/encoderblock_{i}/{name.removeprefix(_SCANNED)}"
            read = functools.partial(_slice, array, i)
            found[one] = StoredArray(f"{array.name}[{i}]", array.shape[1:], array.dtype, read)
    return found


def _slice(array: StoredArray, i: int) -> Shaped[np.ndarray, "..."]:
    return array.read()[i]


def _layout(arrays: Mapping[str, StoredArray]) -> _Layout:
    is_old = f"Transformer/encoderblock_0/MlpBlock_{_VISION_TRANSFORMER.mlp}/Dense_0/kernel" in arrays
    return _VISION_TRANSFORMER if is_old else _BIG_VISION


def _spec(arrays: Mapping[str, StoredArray], chosen: Overrides, path: pathlib.Path) -> ViTSpec:
    """The sizes of the model that a file holds."""
    layout = _layout(arrays)
    block = "Transformer/encoderblock_0"
    patch, _, _, width = _shape(arrays, _PATCHES, "(patch, patch, 3, width)", path)
    query = f"{block}/MultiHeadDotProductAttention_{layout.attention}/query/kernel"
    _, heads, head_width = _shape(arrays, query, "(width, heads, head_width)", path)
    _, mlp_width = _shape(arrays, f"{block}/MlpBlock_{layout.mlp}/Dense_0/kernel", "(width, mlp_width)", path)
    if heads * head_width != width:
        raise _refusal(path, f"{query} has {heads} heads of {head_width}, but the width is {width}", "use another")
    _check_heads(arrays, heads, head_width, path)
    has_class_token, has_pooler = "cls" in arrays, "pre_logits/kernel" in arrays
    if has_pooler and not has_class_token:
        what = "pre_logits/kernel after the mean over patches is not implemented, only after a class token"
        raise _refusal(path, what, "choose another checkpoint")
    told = chosen.of_spec("vit")
    return ViTSpec(
        num_classes=_shape(arrays, "head/kernel", "(width, classes)", path)[1] if "head/kernel" in arrays else 0,
        image_size=patch * _grid(arrays, path),
        patch_size=patch,
        width=width,
        depth=len({found[1] for name in arrays if (found := _BLOCK.match(name))}),
        heads=heads,
        mlp_width=mlp_width,
        activation=told.get("activation", "gelu_tanh"),
        epsilon=told.get("epsilon", 1e-6),
        class_token=has_class_token,
        pool="pooler" if has_pooler else "first" if has_class_token else "mean",
    )


def _shape(arrays: Mapping[str, StoredArray], name: str, wanted: str, path: pathlib.Path) -> tuple[int, ...]:
    """The shape of an array that the sizes are read from."""
    if name not in arrays:
        raise _refusal(path, f"{name} is missing", "get the checkpoint again")
    shape = arrays[name].shape
    is_square = "patch, patch" not in wanted or (shape[0] == shape[1] and shape[2:3] == (3,))
    if len(shape) != wanted.count(",") + 1 or not all(shape) or not is_square:
        raise _refusal(path, f"{name} has shape {shape}, not {wanted}", "choose a checkpoint of a plain ViT")
    return shape


def _check_heads(arrays: Mapping[str, StoredArray], heads: int, head_width: int, path: pathlib.Path) -> None:
    """The name map compares numbers of values; that all blocks have the same heads is checked here."""
    wrong = []
    for name, array in arrays.items():
        found = re.fullmatch(r".*/MultiHeadDotProductAttention_\d/(query|key|value|out)/(kernel|bias)", name)
        if not found or found.group(1, 2) == ("out", "bias"):
            continue
        axes = array.shape[:-1] if found[1] == "out" else array.shape[-2:]
        if axes != (heads, head_width):
            wrong.append(f"{name} has shape {array.shape}")
    if wrong:
        what = f"not {heads} heads of {head_width} in every block: {'; '.join(wrong)}"
        raise _refusal(path, what, "get the checkpoint again")


def _position(arrays: Mapping[str, StoredArray]) -> str:
    return next(name for name in _POSITIONS if name in arrays)


def _grid(arrays: Mapping[str, StoredArray], path: pathlib.Path) -> int:
    """Patches along one side of the image."""
    name = _position(arrays)
    length = _shape(arrays, name, "(1, length, width)", path)[1]
    for patches in (length - 1, length) if "cls" in arrays else (length,):
        if patches and math.isqrt(patches) ** 2 == patches:
            return math.isqrt(patches)
    raise _refusal(path, f"{name} has {length} positions, which are no square of patches", "use a square checkpoint")


def _with_class_row(arrays: dict[str, StoredArray], spec: ViTSpec) -> tuple[str, dict[str, StoredArray]]:
    """Gives the class token a position of zeros where a file has none for it.

    big_vision adds the positions before it puts the class token in front, so there it has no position.
    """
    name = _position(arrays)
    array, patches = arrays[name], (spec.image_size // spec.patch_size) ** 2
    if not spec.class_token or array.shape[1] == patches + 1:
        return name, arrays

    def read() -> Float[np.ndarray, "1 length width"]:
        return np.pad(array.read(), ((0, 0), (1, 0), (0, 0)))

    shape = (1, patches + 1, array.shape[2])
    return name, {**arrays, name: StoredArray(array.name, shape, array.dtype, read)}


def _refusal(path: pathlib.Path, what: str, do: str) -> InputError:
    return InputError(what, where=str(path), do=do)
