"""What goes into the model: the one place that turns a batch into the inputs of a module, on the device."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Array, Key

from tlj.data.images import Augmentation, Preprocessing, augment, normalise
from tlj.data.text import TEXT_INPUTS, TextPreprocessing

Inputs = Array | dict[str, Array]


def training_inputs(
    batch: Mapping[str, Array],
    key: Key[Array, ""],
    preprocessing: Preprocessing | TextPreprocessing,
    augmentation: Augmentation,
) -> Inputs:
    """Returns what the module takes of a training batch: images are augmented, text has no augmentation.

    Args:
      batch: of a source.
      key: of the ``augment`` stream at this step.
      preprocessing: of the model.
      augmentation: of training images.
    """
    if isinstance(preprocessing, Preprocessing):
        batch = {**batch, "image": augment(batch["image"], key, augmentation)}
    return evaluation_inputs(batch, preprocessing)


def evaluation_inputs(batch: Mapping[str, Array], preprocessing: Preprocessing | TextPreprocessing) -> Inputs:
    """Returns what the module takes of a batch: normalised images, or the ids, mask and types that the batch has.

    Text without a mask gets one: to a model every token is real that no mask says is not.

    Args:
      batch: of a source.
      preprocessing: of the model.
    """
    if isinstance(preprocessing, TextPreprocessing):
        mask = (batch["input_ids"] != preprocessing.padding).astype("int32")
        return {"attention_mask": mask, **{name: batch[name] for name in TEXT_INPUTS if name in batch}}
    return normalise(batch["image"], preprocessing)
