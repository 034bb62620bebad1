"""Exports golden checkpoints and tiny new models for ``check_exports.py``, with what tlj itself gives for them.

Run with tlj installed, and then the check where transformers 4.57.6 and torch are:

    python tests/golden/make_exports.py DIRECTORY
    python tests/golden/check_exports.py DIRECTORY

Writes ``DIRECTORY/NAME/``, an export, and ``DIRECTORY/NAME.npz``: ``photo`` or ``sentences``, ``input_ids`` or
``images`` (NHWC) that tlj makes of them, and the ``logits`` (the features, of a model without a head).
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys
import warnings

import jax
import numpy as np
import PIL.Image

import tlj
from tlj.data.images import Preprocessing, normalise
from tlj.data.resize import resize_image
from tlj.data.text import TextPreprocessing
from tlj.errors import InputError
from tlj.models.bert import BERTSpec
from tlj.models.registry import Spec, build, family_of
from tlj.models.resnet import ResNetSpec
from tlj.models.vit import ViTSpec
from tlj.pretrained.load_report import LoadReport

ROOT = pathlib.Path(__file__).parent / "checkpoints"
SENTENCES = ["A cat sat on the mat.", "Bees flew under the big ants."]

# As the runs of tlj make them: its own defaults where a checkpoint of transformers has others.
NEW: dict[str, Spec] = {
    "new_vit": ViTSpec(num_classes=5, image_size=8, patch_size=2, width=16, depth=2, heads=2, stochastic_depth=0.1),
    "new_resnet": ResNetSpec(num_classes=5, image_size=32, stem_width=8, stage_depths=(1, 2), stage_widths=(4, 8)),
    "new_bert": BERTSpec(num_classes=5, vocabulary=60, width=16, depth=2, heads=2, positions=10),
}


def new_model(spec: Spec) -> tlj.Model:
    """Returns a model with random values in every leaf, norms and statistics too."""
    module, draws = build(spec), np.random.default_rng(0)
    variables = jax.eval_shape(lambda: module.init(jax.random.key(0), spec.example(1)))

    def draw(path: tuple[jax.tree_util.DictKey, ...], leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        lowest = 0.1 if path[-1].key in ("scale", "var") else -0.5
        return draws.uniform(lowest, 0.5, leaf.shape).astype(np.float32)

    variables = jax.tree_util.tree_map_with_path(draw, variables)
    if family_of(spec).name == "bert":
        preprocessing = TextPreprocessing(8, 50)
    else:
        preprocessing = Preprocessing(spec.image_size, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), resize_to=spec.image_size + 5)
    classes = tuple(f"<class> {number}" for number in range(spec.num_classes))
    return tlj.Model(module, dict(variables), spec, preprocessing, LoadReport(()), classes)


def reference(model: tlj.Model) -> dict[str, np.ndarray]:
    """Returns inputs and what the model gives for them."""
    draws, told = np.random.default_rng(1), model.preprocessing
    if isinstance(told, Preprocessing):
        photo = draws.integers(0, 256, (61, 47, 3), np.uint8)
        images = np.asarray(normalise(resize_image(PIL.Image.fromarray(photo), told)[None], told))
        return {"photo": photo, "images": images, "logits": np.asarray(model(images))}
    if told.tokenizer:
        tokens = dict(model.tokenizer(SENTENCES, padding=True, return_tensors="np"))
        return {"sentences": np.array(SENTENCES), **tokens, "logits": np.asarray(model(tokens))}
    ids = draws.integers(1, model.spec.vocabulary, (3, told.length))
    mask = (np.arange(told.length) < np.array([[3], [5], [told.length]])).astype(np.int64)
    tokens = {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids % model.spec.types}
    return {**tokens, "logits": np.asarray(model(tokens))}


def main(directory: pathlib.Path) -> None:
    """Exports every model that transformers can express."""
    warnings.simplefilter("ignore")
    named = {path.name.removesuffix(".npz"): path for path in sorted(ROOT.iterdir()) if "_reference" not in path.name}
    sources = {name: lambda path=path: tlj.load(path) for name, path in named.items()}
    sources["vit_headless_pooled"] = lambda: tlj.load(ROOT / "vit_headless", pool="pooler")
    sources["vit_unnamed"] = lambda: dataclasses.replace(tlj.load(ROOT / "vit_gelu"), classes=())
    sources |= {name: lambda spec=spec: new_model(spec) for name, spec in NEW.items()}
    for name, make in sources.items():
        try:
            model = make()
            tlj.export(model, directory / name)
        except InputError as error:
            print(f"{name}: {error}")
            continue
        np.savez(directory / f"{name}.npz", **reference(model))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
