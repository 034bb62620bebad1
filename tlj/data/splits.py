"""Who is tested, who may be labelled, and which labels a budget buys: stratified, nested and written down."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Int, Num

from tlj.data.label_kinds import are_numbers, are_sets, strata
from tlj.data.label_scale import label_scale
from tlj.data.stratified import by_class, stratified_order
from tlj.errors import InputError
from tlj.streams import generator

Indices = Int[np.ndarray, " examples"]


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """The examples of one run, as indices into its source.

    Attributes:
      train: labelled examples that are trained on.
      validation: labelled examples held out; they count in the budget.
      test: examples that nothing but the final test touches.
    """

    train: Indices
    validation: Indices
    test: Indices

    def manifest(self, ids: Sequence[str]) -> dict[str, object]:
        """Returns the sample ids of each part and a hash over them, for the run's manifest."""
        parts = {field.name: [ids[i] for i in getattr(self, field.name)] for field in dataclasses.fields(self)}
        return {"hash": hashlib.sha256(repr(parts).encode()).hexdigest()[:16], **parts}


class SealedTest:
    """The test examples of a run; a process can open them once.

    Attributes:
      opened: how often they have been opened, for the run's summary.

    Args:
      indices: the test examples.
      earlier: how often earlier processes of the same run opened them.
    """

    def __init__(self, indices: Indices, earlier: int = 0):
        self._indices = indices
        self._earlier = self.opened = earlier

    def open(self) -> Indices:
        """Returns the test examples.

        Raises:
          RuntimeError: when they have been opened before.
        """
        if self.opened > self._earlier:
            raise RuntimeError("the test split of this run has been opened already")
        self.opened += 1
        return self._indices


def split_off_test(labels: Num[np.ndarray, "n ..."], fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Splits a source into a labelled pool and a test set, the same for every run of a comparison.

    Args:
      labels: of every example.
      fraction: of the examples that are tested.
      seed: ``config.data.split_seed``.

    Returns:
      Indices of the pool and of the test set, each sorted.
    """
    order = stratified_order(strata(labels), seed, 0)
    count = round(fraction * len(labels))
    return np.sort(order[count:]), np.sort(order[:count])


def _held_out(labels: Int[np.ndarray, " n"], fraction: float, rng: np.random.Generator) -> Bool[np.ndarray, " n"]:
    """Marks every 1 / fraction-th example of each class in the order given; classes take turns to be first."""
    marks = np.zeros(len(labels), bool)
    names, members = by_class(labels)
    for turn, chosen in enumerate(rng.permutation(len(names))):
        places = members[chosen]
        steps = fraction * np.arange(len(places) + 1) + (turn + 0.5) / len(names)
        marks[places] = np.diff(np.floor(steps)) > 0
    return marks


def _check_budget(
    needed: Mapping[str, int], validated: int, count: int, pool: int, fraction: float, min_per_class: int
) -> None:
    """Raises the error for a budget that does not suffice.

    Args:
      needed: the smallest budget that gives a class enough training examples, by its name; empty for numbers.
      validated: the smallest budget that validates at all, and trains on two examples.
      count: the budget.
      pool: examples that may be labelled.
      fraction: that is held out for validation.
      min_per_class: training examples that each class must get.
    """
    least = max([validated, *needed.values()])
    if count >= least:
        return
    few = "a training example" if min_per_class == 1 else f"{min_per_class} training examples"
    given = f"give {few} to each of {len(needed)} classes" if needed else "give two training examples"
    what = f"a budget of {count} labels cannot {given}"
    what += f" and hold {fraction:.0%} out for validation"
    if lacking := [repr(name) for name, enough in needed.items() if count < enough]:
        more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
        what += f": too few for {', '.join(lacking[:3])}{more}"
    do = f"use at least {least}" if least <= pool else "use a source with more examples per class"
    fewer = ", or lower config.data.min_per_class" if min_per_class > 1 else ""
    raise InputError(what, where="config.label_budgets", do=do + fewer)


def budget_split(
    labels: Num[np.ndarray, "n ..."],
    pool: Indices,
    budget: int | str,
    *,
    validation_fraction: float,
    seed: int,
    min_per_class: int = 1,
    classes: Sequence[str] = (),
) -> tuple[Indices, Indices]:
    """Draws a label budget from the pool and holds a validation part out of it.

    For one seed a smaller budget's training and validation parts are subsets of a larger one's: the whole pool is put
    into one stratified order, each example is marked once for training or validation, and a budget is a prefix. What
    labels that are no classes are stratified by, ``tlj.data.label_kinds.strata`` says.

    Args:
      labels: of every example of the source.
      pool: indices that may be labelled.
      budget: number of labelled examples, validation counted in, or ``"all"``.
      validation_fraction: share of the budget that is held out, 0 < fraction < 1.
      seed: of the run.
      min_per_class: training examples that each class of the source must get, in whose set it is where labels are
        sets; it moves none, it only refuses. Numbers have no classes.
      classes: names of the classes, for the message.

    Returns:
      Indices of the training and of the validation part, in budget order.

    Raises:
      InputError: for a budget beyond the pool, or too small to train on every class and validate at all; for numbers
        to train on that are all the same.
    """
    count = len(pool) if budget == "all" else int(budget)
    if count > len(pool):
        raise InputError(
            f"a budget of {count} labels, but the pool has {len(pool)}",
            where="config.label_budgets",
            do=f"use at most {len(pool)} or 'all'",
        )
    stratum = strata(labels[pool])
    order = stratified_order(stratum, seed, 1)
    ordered = pool[order]
    held_out = _held_out(stratum[order], validation_fraction, generator(seed, "data", 3))
    needed = _needed(labels[ordered], held_out, _present(labels), min_per_class)
    named = {classes[label] if classes else str(label): least for label, least in needed.items()}
    # One of each kind, and a second to train on: of one number there is nothing to learn.
    firsts = [int(places[0]) if len(places := np.flatnonzero(held_out)) else len(pool)]
    firsts += [int(places[1]) if len(places := np.flatnonzero(~held_out)) > 1 else len(pool)]
    validated = max(firsts) + 1
    _check_budget(named, validated, count, len(pool), validation_fraction, min_per_class)
    train, validation = ordered[:count][~held_out[:count]], ordered[:count][held_out[:count]]
    # Refuses numbers that are all the same.
    label_scale(labels, train)
    return train, validation


def _present(labels: Num[np.ndarray, "n ..."]) -> Int[np.ndarray, " classes"]:
    """The classes that occur; none of numbers."""
    if are_numbers(labels):
        return np.zeros(0, int)
    return np.flatnonzero(labels.any(0)) if are_sets(labels) else np.unique(labels)


def _needed(
    ordered: Num[np.ndarray, "n ..."],
    held_out: Bool[np.ndarray, " n"],
    present: Int[np.ndarray, " classes"],
    least: int,
) -> dict[int, int]:
    """Returns the smallest budget that gives each class so many training examples; n + 1 where none does.

    Args:
      ordered: labels in budget order.
      held_out: which of them are for validation.
      present: the classes that the source has examples of.
      least: training examples of each.
    """
    trained = np.flatnonzero(~held_out)
    if are_sets(ordered):
        names, members = present, [np.flatnonzero(ordered[trained, label]) for label in present]
    else:
        names, members = by_class(ordered[trained])
    reached = {
        int(name): int(trained[places[least - 1]]) + 1
        for name, places in zip(names, members, strict=True)
        if len(places) >= least
    }
    return {int(name): reached.get(int(name), len(ordered) + 1) for name in present}
