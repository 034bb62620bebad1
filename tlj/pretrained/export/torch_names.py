"""ResNets under torchvision's names, with the small file that says the variant, which no shape tells."""

from __future__ import annotations

from tlj.errors import InputError
from tlj.models.registry import family_of
from tlj.models.resnet import ResNetSpec
from tlj.pretrained.export.arrays import torch_arrays
from tlj.pretrained.export.files import Writer, as_arrays, as_json
from tlj.pretrained.formats.resnet_variant import FILE, variant_json
from tlj.pretrained.formats.torch_resnet import modules
from tlj.pretrained.load import Model


def torch_files(model: Model) -> dict[str, Writer]:
    """Returns the weights of a ResNet under torchvision's names, and ``tlj.json``.

    Args:
      model: what to export.

    Raises:
      InputError: for another family, or weights that are not finite.
    """
    spec = model.spec
    if not isinstance(spec, ResNetSpec):
        raise InputError(
            f"torch names are those of ResNets, and this is a {family_of(spec).name}",
            where="--format=torch",
            do="export with --format=huggingface or --format=stablehlo",
        )
    arrays = torch_arrays(model.variables, modules(spec))
    return {
        "model.safetensors": as_arrays(arrays, {"format": "pt"}),
        FILE: as_json(variant_json(spec, model.preprocessing, model.classes)),
    }
