"""How many examples each class has in each split, and which classes stand out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

# A class with fewer training examples than this is named.
FEW = 10
# The largest class by the smallest: from here on accuracy says little of the small classes.
UNBALANCED = 10.0


def count_classes(
    labels: Int[np.ndarray, " examples"], classes: Sequence[str], splits: Mapping[str, Int[np.ndarray, " part"]]
) -> list[dict[str, Any]]:
    """Returns ``{split, examples, classes: [count], absent, few, imbalance, majority}`` for each split.

    Args:
      labels: of every example of the source.
      classes: their names.
      splits: indices.

    Returns:
      ``absent`` and ``few`` name classes with none and with fewer than ``FEW`` examples; ``imbalance`` is the largest
      class by the smallest that is there, None of no example; ``majority`` is the share of the largest.
    """
    rows = []
    for name, part in splits.items():
        counts = np.bincount(labels[part], minlength=len(classes))
        present = counts[counts > 0]
        rows.append(
            {
                "split": name,
                "examples": len(part),
                "classes": counts.tolist(),
                "absent": [classes[label] for label in np.flatnonzero(counts == 0)],
                "few": [classes[label] for label in np.flatnonzero((counts > 0) & (counts < FEW))],
                "imbalance": float(present.max() / present.min()) if len(present) else None,
                "majority": float(present.max() / len(part)) if len(present) else None,
            }
        )
    return rows
