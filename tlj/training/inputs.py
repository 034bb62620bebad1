"""What goes into the model: the one place that turns a batch into the inputs of a module, on the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from jaxtyping import Array, Float, Key

from tlj.data.augment.chain import augment
from tlj.data.augment.mix import mixed, partner_weights
from tlj.data.images import Augmentation, Preprocessing, normalise
from tlj.data.text import PACKED_INPUTS, TEXT_INPUTS, TextPreprocessing
from tlj.models.activations import Activations, FromDepth
from tlj.rows import ALL, Rows
from tlj.training.tasks import TASKS, Task

Inputs = Array | dict[str, Array] | Activations


class TrainingInputs(NamedTuple):
    """What a step takes of a batch.

    Attributes:
      inputs: what the module takes.
      targets: what the task wants of each output, not smoothed: probabilities, or a number.
      weight: of each example in the loss; None: all weigh alike.
    """

    inputs: Inputs
    targets: Float[Array, "batch outputs"]
    weight: Float[Array, " batch"] | None


def training_inputs(
    batch: Mapping[str, Array],
    key: Key[Array, ""],
    preprocessing: Preprocessing | TextPreprocessing | FromDepth,
    augmentation: Augmentation,
    outputs: int,
    task: Task = TASKS["multiclass"],
    rows: Rows = ALL,
) -> TrainingInputs:
    """Returns what a step takes of a training batch: images are augmented and mixed, text is not.

    Args:
      batch: of a source.
      key: of the ``augment`` stream at this step.
      preprocessing: of the model.
      augmentation: of training images.
      outputs: of the model.
      task: what labels are.
      rows: of the global batch that the batch is.
    """
    targets, weight = task.targets(batch, outputs), batch.get("weight")
    if not isinstance(preprocessing, Preprocessing):
        return TrainingInputs(evaluation_inputs(batch, preprocessing), targets, weight)
    images = augment(batch["image"], key, augmentation, preprocessing.image_size, batch.get("aspect"), rows)
    if augmentation.mixup or augmentation.cutmix:
        pixels, share = partner_weights(images.shape[:3], key, augmentation, rows)
        images, targets, weight = mixed(images, targets, weight, pixels, share, rows)
    return TrainingInputs(normalise(images, preprocessing), targets, weight)


def evaluation_inputs(
    batch: Mapping[str, Array], preprocessing: Preprocessing | TextPreprocessing | FromDepth
) -> Inputs:
    """Returns what the module takes of a batch: normalised images, or the ids, mask and types that the batch has.

    Where batches hold activations, it takes these.

    Text without a mask gets one: to a model every token is real that no mask says is not. Packed text has segments.

    Args:
      batch: of a source.
      preprocessing: of the model.
    """
    if isinstance(preprocessing, FromDepth):
        return Activations(batch["activations"], batch.get("attention_mask"), preprocessing.depth)
    if isinstance(preprocessing, TextPreprocessing):
        inputs = {name: batch[name] for name in (*TEXT_INPUTS, *PACKED_INPUTS) if name in batch}
        if "segment_ids" in inputs:
            return inputs
        mask = (batch["input_ids"] != preprocessing.padding).astype("int32")
        return {"attention_mask": mask, **inputs}
    return normalise(batch["image"], preprocessing)
