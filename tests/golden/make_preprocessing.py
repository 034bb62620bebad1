"""Makes ``preprocessing.npz``: small images and what transformers' image processors make of them, setting by setting.

Run with transformers 4.57.6 and Pillow, from the root of the repository: ``python tests/golden/make_preprocessing.py``.
"""

import json
import pathlib
import tempfile

import numpy as np
import PIL.Image
from transformers.utils import import_utils

# The processors of this script do their work with Pillow and NumPy; torchvision would only have to be imported.
import_utils._torchvision_available = False

from transformers import AutoImageProcessor  # noqa: E402

SIZES = ((37, 53), (20, 20), (90, 17))
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
SQUARE = {"height": 16, "width": 16}
VIT = {"image_processor_type": "ViTImageProcessor", "size": SQUARE}
CROP = {"do_center_crop": True, "crop_size": SQUARE}

# By name: the content of preprocessor_config.json.
CASES = {
    "vit": VIT | {"resample": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
    "vit_feature_extractor": {
        "feature_extractor_type": "ViTFeatureExtractor",
        **{"do_resize": True, "do_normalize": True, "size": 16, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
    },
    "vit_other_rescaling": VIT | IMAGENET | {"resample": 3, "rescale_factor": 1 / 127.5},
    "vit_without_rescaling": VIT | {"do_rescale": False, "image_mean": [128, 120, 110], "image_std": [64, 60, 58]},
    "vit_without_normalising": VIT | {"do_normalize": False},
    **{f"vit_filter_{number}": VIT | IMAGENET | {"resample": number} for number in range(6)},
    "deit": {"image_processor_type": "DeiTImageProcessor", "size": 19, "crop_size": 16} | IMAGENET,
    "bit": {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 19}, "resample": 1} | CROP,
    "clip": {"image_processor_type": "CLIPImageProcessor", "size": 16, "crop_size": 16},
    "convnext": {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 16}, "crop_pct": 0.875},
    "convnext_feature_extractor": {
        "feature_extractor_type": "ConvNextFeatureExtractor",
        **{"crop_pct": 0.9, "size": 17, "resample": 3, "do_normalize": True, "do_resize": True},
        **IMAGENET,
    },
    "convnext_384": {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 384}, "resample": 3},
    "of_the_family_vit": {"size": SQUARE},
    "of_the_family_resnet": {"size": 16},
}


def photo(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Colours that change slowly, with edges and some noise."""
    coarse = PIL.Image.fromarray(random.integers(0, 256, (5, 5, 3), np.uint8))
    smooth = np.asarray(coarse.resize((width, height), PIL.Image.Resampling.BICUBIC), np.int32)
    smooth[: height // 3, : width // 3] = 255
    return np.clip(smooth + random.integers(-9, 10, smooth.shape), 0, 255).astype(np.uint8)


def pixels(settings: dict, family: str, images: list[np.ndarray]) -> list[np.ndarray]:
    """What transformers makes of each image: height, width, channels; of a large one, every 37th pixel each way."""
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "preprocessor_config.json").write_text(json.dumps(settings))
        pathlib.Path(folder, "config.json").write_text(json.dumps({"model_type": family}))
        processor = AutoImageProcessor.from_pretrained(folder, use_fast=False)
        found = [processor(PIL.Image.fromarray(image), return_tensors="np")["pixel_values"][0] for image in images]
    step = 37 if found[0].shape[-1] > 64 else 1
    return [array.transpose(1, 2, 0)[::step, ::step].astype(np.float32) for array in found]


def main() -> None:
    """Writes the file beside this script."""
    random = np.random.default_rng(0)
    images = [photo(random, *size) for size in SIZES]
    arrays = {f"image/{i}": image for i, image in enumerate(images)}
    arrays["cases"] = np.array(json.dumps(CASES))
    for name, settings in CASES.items():
        family = "resnet" if "convnext" in name or "resnet" in name else "vit"
        arrays |= {f"{family}/{name}/{i}": array for i, array in enumerate(pixels(settings, family, images))}
    np.savez_compressed(pathlib.Path(__file__).with_name("preprocessing.npz"), **arrays)


if __name__ == "__main__":
    main()
