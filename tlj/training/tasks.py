"""Tasks: what labels are, and what follows from it for the head, the loss and the metrics."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Num

from tlj.training import task_metrics

Logits = Float[Array, "batch outputs"]
Targets = Float[Array, "batch outputs"]


class Task(Protocol):
    """One kind of label. A step computes targets, losses and metrics of a batch; a run is judged by ``evaluate``.

    Attributes:
      name: ``config.task``.
    """

    name: str

    def outputs(self, classes: int) -> int:
        """Returns the size of the head for so many classes."""

    def targets(self, batch: Mapping[str, Array], outputs: int) -> Targets:
        """Returns what each output should say of the examples of a batch, from its ``label``."""

    def smoothed(self, targets: Targets, share: float) -> Targets:
        """Returns targets that a share of is spread evenly over what could have been said."""

    def losses(self, logits: Logits, targets: Targets) -> Float[Array, " batch"]:
        """Returns the loss of each example, in float32."""

    def batch_metrics(self, logits: Logits, batch: Mapping[str, Array]) -> dict[str, Array]:
        """Returns what else a step tells of a batch, scalars on the device: what a mean over batches makes sense of."""

    def predictions(self, outputs: Float[np.ndarray, "n outputs"]) -> Float[np.ndarray, "n logits"]:
        """Returns what is reported of an example, from what the head says: the same, but for a single logit."""

    def evaluate(
        self, logits: Float[np.ndarray, "n logits"], labels: Num[np.ndarray, "n ..."]
    ) -> dict[str, float | None]:
        """Returns the metrics of ``tlj.metric_names``, in float64; None where one is not defined for these labels.

        Args:
          logits: as reported.
          labels: of a source.
        """


@dataclasses.dataclass(frozen=True)
class Multiclass:
    """One class an example: softmax cross-entropy in nats."""

    name: str = "multiclass"

    def outputs(self, classes: int) -> int:
        return classes

    def targets(self, batch: Mapping[str, Array], outputs: int) -> Targets:
        return jax.nn.one_hot(batch["label"], outputs)

    def smoothed(self, targets: Targets, share: float) -> Targets:
        return optax.smooth_labels(targets, share)

    def losses(self, logits: Logits, targets: Targets) -> Float[Array, " batch"]:
        return optax.softmax_cross_entropy(logits, targets)

    def batch_metrics(self, logits: Logits, batch: Mapping[str, Array]) -> dict[str, Array]:
        return {"accuracy": (logits.argmax(-1) == batch["label"]).mean()}

    def predictions(self, outputs: Float[np.ndarray, "n outputs"]) -> Float[np.ndarray, "n logits"]:
        return outputs

    def evaluate(
        self, logits: Float[np.ndarray, "n logits"], labels: Num[np.ndarray, "n ..."]
    ) -> dict[str, float | None]:
        return task_metrics.of_classes(logits, labels)


@dataclasses.dataclass(frozen=True)
class Binary(Multiclass):
    """One of two classes an example, told by one logit: sigmoid cross-entropy in nats.

    The logit is reported as two, ``[0, z]``, whose softmax is its sigmoid: what reads logits of classes reads these.
    """

    name: str = "binary"

    def outputs(self, classes: int) -> int:
        return 1

    def targets(self, batch: Mapping[str, Array], outputs: int) -> Targets:
        return batch["label"][:, None].astype(jnp.float32)

    def smoothed(self, targets: Targets, share: float) -> Targets:
        return (1 - share) * targets + share / 2

    def losses(self, logits: Logits, targets: Targets) -> Float[Array, " batch"]:
        return _sigmoid_cross_entropy(logits, targets)

    def batch_metrics(self, logits: Logits, batch: Mapping[str, Array]) -> dict[str, Array]:
        return {"accuracy": ((logits[:, 0] > 0) == batch["label"]).mean()}

    def predictions(self, outputs: Float[np.ndarray, "n outputs"]) -> Float[np.ndarray, "n logits"]:
        if outputs.shape[1] == 2:
            return outputs
        return np.concatenate([np.zeros_like(outputs), outputs], axis=1)

    def evaluate(
        self, logits: Float[np.ndarray, "n logits"], labels: Num[np.ndarray, "n ..."]
    ) -> dict[str, float | None]:
        return task_metrics.of_two_classes(logits, labels)


@dataclasses.dataclass(frozen=True)
class Multilabel(Multiclass):
    """Any number of classes an example, each told by its own logit: sigmoid cross-entropy, the mean over classes."""

    name: str = "multilabel"

    def targets(self, batch: Mapping[str, Array], outputs: int) -> Targets:
        return batch["label"].astype(jnp.float32)

    def smoothed(self, targets: Targets, share: float) -> Targets:
        return (1 - share) * targets + share / 2

    def losses(self, logits: Logits, targets: Targets) -> Float[Array, " batch"]:
        return _sigmoid_cross_entropy(logits, targets)

    def batch_metrics(self, logits: Logits, batch: Mapping[str, Array]) -> dict[str, Array]:
        return {"label_accuracy": ((logits > 0) == batch["label"]).mean()}

    def evaluate(
        self, logits: Float[np.ndarray, "n logits"], labels: Num[np.ndarray, "n ..."]
    ) -> dict[str, float | None]:
        return task_metrics.of_sets(logits, labels)


@dataclasses.dataclass(frozen=True)
class Regression(Multiclass):
    """A number an example: squared error.

    A step sees labels less their mean over the training part, by their standard deviation there
    (``tlj.data.label_scale``), so that its loss is a share of their variance and learning rates do not hang on their
    unit. What is reported and how it is judged is in the labels' own unit.
    """

    name: str = "regression"

    def outputs(self, classes: int) -> int:
        return 1

    def targets(self, batch: Mapping[str, Array], outputs: int) -> Targets:
        return batch["label"][:, None].astype(jnp.float32)

    def smoothed(self, targets: Targets, share: float) -> Targets:
        return targets

    def losses(self, logits: Logits, targets: Targets) -> Float[Array, " batch"]:
        return jnp.square(logits.astype(jnp.float32) - targets).mean(-1)

    def batch_metrics(self, logits: Logits, batch: Mapping[str, Array]) -> dict[str, Array]:
        return {}

    def evaluate(
        self, logits: Float[np.ndarray, "n logits"], labels: Num[np.ndarray, "n ..."]
    ) -> dict[str, float | None]:
        return task_metrics.of_numbers(logits, labels)


def _sigmoid_cross_entropy(logits: Logits, targets: Targets) -> Float[Array, " batch"]:
    return optax.sigmoid_binary_cross_entropy(logits.astype(jnp.float32), targets).mean(-1)


TASKS: dict[str, Task] = {task.name: task for task in (Multiclass(), Binary(), Multilabel(), Regression())}
