"""The model card: what an exported model is, how it was made, how good it is, how it is used, and what is not in it."""

from __future__ import annotations

import collections
import math
import re
from collections.abc import Iterable, Sequence

import tlj
from tlj.data.images import Preprocessing
from tlj.models.registry import family_of
from tlj.pretrained.export.markdown import code, place
from tlj.pretrained.export.run_facts import run_facts
from tlj.pretrained.formats.huggingface.families import FAMILIES
from tlj.pretrained.load import Model

_NAMES = {"vit": "ViT", "resnet": "ResNet", "bert": "BERT"}
_TASKS = {
    ("images", True): "image-classification",
    ("images", False): "image-feature-extraction",
    ("text", True): "text-classification",
    ("text", False): "feature-extraction",
}
_LIBRARIES = {"huggingface": "transformers", "torch": "tlj", "stablehlo": "jax"}
_SHOWN = 20


def model_card(model: Model, format: str) -> str:
    """Returns the README.md of an exported model.

    Args:
      model: what is exported.
      format: ``"huggingface"``, ``"torch"`` or ``"stablehlo"``.
    """
    making, figures = run_facts(model)
    sections = {
        "How it was made": _items(making or _origin(model)),
        "Figures": _items(figures),
        "Inputs": _inputs(model),
        "Classes": _classes(model.classes),
        "Use": _USES[format](model),
        "What is not in it": _items(_left_out(model, format)),
    }
    written = "\n".join(f"\n## {title}\n\n{text}" for title, text in sections.items() if text)
    return f"{_front_matter(model, format)}\n{_title(model)}\n{written}\n"


def _front_matter(model: Model, format: str) -> str:
    family = family_of(model.spec).name
    return "\n".join(
        [
            "---",
            "# No license is given: add one, such as license: apache-2.0, that the data and the source allow.",
            f"library_name: {_LIBRARIES[format]}",
            f"pipeline_tag: {_TASKS[model.preprocessing.kind, bool(model.spec.num_classes)]}",
            "tags:",
            *(f"- {tag}" for tag in dict.fromkeys((family, "tlj", _LIBRARIES[format]))),
            "---",
            "",
        ]
    )


def _title(model: Model) -> str:
    classes, name = model.spec.num_classes, _NAMES[family_of(model.spec).name]
    count = sum(math.prod(row.shape) for row in model.report.leaves if row.path.startswith("params/"))
    outputs = f"that tells {classes:,} classes apart" if classes else "without a head, which gives features"
    purpose = f"for {classes:,} classes" if classes else "for features"
    if model.task == "regression":
        outputs, purpose = "that gives a number", "for numbers"
    return (
        f"# {name} {purpose}\n\n"
        f"A {name} {outputs}, of {count:,} parameters in float32, exported by tlj {tlj.__version__}. "
        "No license is given with it."
    )


def _origin(model: Model) -> list[str]:
    """What is told of a model that comes from no run: where it was found, and what became of its arrays."""
    # The name of a checkpoint is that of its directory; files have the same names in all of them.
    named = place(re.sub(r"[/\\](model\.safetensors(\.index\.json)?|flax_model\.msgpack)$", "", model.location))
    found = [f"Loaded from {code(named)}, content hash {code(model.identity)}."] if named else []
    return [*found, f"What became of it: {model.report}."]


def _inputs(model: Model) -> str:
    told = model.preprocessing
    if not isinstance(told, Preprocessing):
        tokenizer = "cut into tokens by the tokenizer here" if told.tokenizer else "as token ids; no tokenizer is known"
        return f"Text {tokenizer}, at most {told.length} tokens, padded with id {told.padding}."
    size, longer = f"{told.image_size}x{told.image_size}", "the shorter edge" if told.keep_aspect else "both edges"
    cut = f"{longer} to {told.resize_to} pixels, the middle {size} of them" if told.resize_to else f"to {size} pixels"
    numbers = (", ".join(f"{value:.6g}" for value in values) for values in (told.mean, told.std))
    return (
        f"RGB images, resized ({told.resample}) {cut}, scaled to 0 to 1, less the mean ({next(numbers)}), "
        f"divided by the standard deviation ({next(numbers)})."
    )


def _classes(classes: Sequence[str]) -> str:
    shown = [f"{number}. {code(name)}" for number, name in enumerate(classes[:_SHOWN])]
    more = [f"\nand {len(classes) - _SHOWN:,} more."] if len(classes) > _SHOWN else []
    return "\n".join([*shown, *more])


def _left_out(model: Model, format: str) -> list[str]:
    """What the source held and the model did not take, what started anew, and what the format has no place for."""
    reasons = collections.defaultdict(list)
    for row in model.report.leaves:
        if row.status == "ignored":
            reasons[row.note or "not part of the model"].append(row.source)
    lines = [f"{_named(names)}: {code(why)}." for why, names in reasons.items()]
    new = [row.path for row in model.report.leaves if row.status == "reset"]
    if new:
        lines.append(f"Values that were trained for {_named(new)}: these started anew.")
    if format == "huggingface" and family_of(model.spec).name == "resnet":
        lines.append("The count of batches that each BatchNorm has seen (`num_batches_tracked`), which is 0 here.")
    return [*lines, "The state of the optimizer, and what else only training needs."]


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(code(name) for name in names[:5]) + more


def _items(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _python(*lines: str) -> str:
    return "\n".join(["```python", *lines, "```"])


_WITH_TLJ = ("import tlj", "", 'model = tlj.load("DIRECTORY")  # this directory, or its id on the hub')


def _use_of_huggingface(model: Model) -> str:
    family = FAMILIES[family_of(model.spec).name]
    name, is_image = family.architecture(model.spec), model.preprocessing.kind == "images"
    reader = "AutoImageProcessor" if is_image else "AutoTokenizer" if model.preprocessing.tokenizer else ""
    return "\n\n".join(
        [
            "With transformers:",
            _python(
                f"from transformers import {', '.join(one for one in (reader, name) if one)}",
                "",
                f'model = {name}.from_pretrained("DIRECTORY")',
                *([f'reader = {reader}.from_pretrained("DIRECTORY")'] if reader else []),
            ),
            "With tlj:",
            _python(*_WITH_TLJ),
        ]
    )


def _use_of_torch(model: Model) -> str:
    return f"The weights have torchvision's names, and `tlj.json` says the variant:\n\n{_python(*_WITH_TLJ)}"


def _use_of_stablehlo(model: Model) -> str:
    is_image = model.preprocessing.kind == "images"
    argument = "cat.jpg" if is_image else '"A sentence."' if model.preprocessing.tokenizer else '"2 5 6 3"'
    library = "pillow" if is_image else "tokenizers"
    takes = "bytes of resized images" if is_image else "token ids"
    return (
        f"The program was written by `jax.export` for CPUs, CUDA and TPUs; it takes {takes}, any number at once, and "
        "runs without tlj:\n\n"
        f"```\npip install jax flatbuffers numpy safetensors {library}\npython example.py {argument}\n```\n\n"
        "`model.json` says what goes in and what comes out. A program is readable by later versions of jax for at "
        "least six months; the weights, by their names, for good."
    )


_USES = {"huggingface": _use_of_huggingface, "torch": _use_of_torch, "stablehlo": _use_of_stablehlo}
