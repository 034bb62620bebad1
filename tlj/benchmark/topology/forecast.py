"""What a run needs and costs on slices of TPUs: the compiler's figures, and what follows from them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tlj.benchmark.topology.facts import Answer, Facts, TooLarge
from tlj.benchmark.topology.largest_batch import Largest, largest_batch
from tlj.benchmark.topology.roofline import roofline
from tlj.benchmark.topology.slices import Slice
from tlj.errors import InputError

# Config of the run on a slice with so many examples per chip, or as the config itself says where that is None.
ConfigOf = Callable[[Slice, int | None], Mapping[str, Any]]


@dataclasses.dataclass(frozen=True, eq=False)
class Question:
    """What is compiled, for any slice and batch.

    Attributes:
      config_of: the config of the run on a slice.
      phases: numbers of the phases whose programs differ.
      ask: the compiler, see ``tlj.benchmark.topology.compiler``; what was asked before costs nothing.
      parts: in which a batch is computed, so that a batch per chip is a multiple of it.
    """

    config_of: ConfigOf
    phases: tuple[int, ...]
    ask: Callable[[Slice, Mapping[str, Any], int], Answer]
    parts: int = 1

    @functools.cached_property
    def _known(self) -> dict[tuple[str, int, int], Answer]:
        return {}

    def answer(self, slice_: Slice, batch: int, phase: int) -> Answer:
        """Returns what the compiler says of a phase with so many examples per chip."""
        key = (slice_.compiler_name, batch, phase)
        if key not in self._known:
            self._known[key] = self.ask(slice_, self.config_of(slice_, batch), phase)
        return self._known[key]

    def batch_per_chip(self, slice_: Slice) -> int:
        """Returns how many examples each chip has as the config says.

        Raises:
          InputError: where the batch does not divide.
        """
        size = self.config_of(slice_, None)["global_batch_size"]
        if size % slice_.chips:
            raise InputError(
                f"a batch of {size} does not divide over the {slice_.chips} chips of {slice_.name}",
                where="config.global_batch_size",
                do=f"use a multiple of {slice_.chips}, or set config.parallel.batch_per_device",
            )
        return size // slice_.chips


def forecasts(question: Question, slices: Sequence[Slice]) -> list[dict[str, Any]]:
    """Returns the figures of every slice, in their order.

    Every phase is compiled as the config has it; then the one that takes most memory is compiled at the batches that
    ``largest_batch`` asks for. What the first slice of a kind found is where the next one looks first.

    Args:
      question: what is compiled.
      slices: for which.

    Raises:
      InputError: before anything is compiled, where a batch does not divide over a slice.
    """
    batches = [question.batch_per_chip(slice_) for slice_ in slices]
    found: dict[str, int] = {}
    rows = []
    for slice_, batch in zip(slices, batches, strict=True):
        answers = {phase: question.answer(slice_, batch, phase) for phase in question.phases}
        fullest = max(answers, key=lambda phase: memory(answers[phase]))
        usable = slice_.accelerator.usable_bytes or slice_.accelerator.hbm_bytes
        largest = largest_batch(
            lambda size, slice_=slice_, fullest=fullest: question.answer(slice_, size, fullest),
            batch,
            answers[fullest],
            usable,
            multiple=question.parts,
            guess=found.get(slice_.accelerator.name, 0),
        )
        found[slice_.accelerator.name] = largest.batch
        row = topology_row(slice_, batch, answers, largest)
        rows.append(
            row | at_largest(slice_, largest, largest.batch and question.answer(slice_, largest.batch, fullest))
        )
    return rows


def at_largest(slice_: Slice, largest: Largest, answer: Answer | int) -> dict[str, Any]:
    """Returns what the largest batch costs: where memory is short, the compiler computes some things twice."""
    keys = ("max_batch_flops_per_example", "max_batch_predicted_examples_per_s")
    if not isinstance(answer, Facts):
        return dict.fromkeys(keys)
    speed = largest.batch * slice_.chips / roofline(answer, slice_.accelerator).seconds
    return dict(zip(keys, (answer.flops / largest.batch, speed), strict=True))


def memory(answer: Answer) -> float:
    """Returns the bytes of memory that a step needs on each chip, whether it has them or not."""
    return answer.needed_bytes if isinstance(answer, TooLarge) else answer.peak_bytes


def topology_row(slice_: Slice, batch: int, answers: Mapping[int, Answer], largest: Largest) -> dict[str, Any]:
    """Returns the figures of a slice: those of the phase that takes longest, and of each phase.

    Args:
      slice_: the chips.
      batch: examples per chip.
      answers: of the compiler, by phase.
      largest: the largest batch.
    """
    chip = slice_.accelerator
    rows = [phase_row(slice_, batch, phase, answer) for phase, answer in answers.items()]
    fits = all(row["fits"] for row in rows)
    longest = max(rows, key=lambda row: (row["predicted_step_s"] or 0.0, row["hbm_bytes"]))
    fullest = max(rows, key=lambda row: row["hbm_bytes"])
    return {
        "name": slice_.name,
        "chips": slice_.chips,
        "accelerator": chip.name,
        "device_kind": chip.kinds[0],
        "batch_per_chip": batch,
        "global_batch_size": batch * slice_.chips,
        **longest,
        **{key: fullest[key] for key in ("hbm_bytes", "usable_hbm_bytes", "hbm")},
        "fits": fits,
        "chip_hbm_bytes": chip.hbm_bytes,
        "max_batch_per_chip": largest.batch,
        "max_batch_is_capped": largest.is_capped,
        "max_batch_compiled": list(largest.compiled),
        "phases": rows,
    }


def phase_row(slice_: Slice, batch: int, phase: int, answer: Answer) -> dict[str, Any]:
    """Returns the figures of one phase on a slice; what is not known of one that does not fit is None."""
    chip = slice_.accelerator
    usable = answer.usable_bytes if isinstance(answer, TooLarge) else chip.usable_bytes or chip.hbm_bytes
    row = {"phase": phase, "hbm_bytes": memory(answer), "usable_hbm_bytes": usable}
    if isinstance(answer, TooLarge):
        return {**row, "fits": False, **dict.fromkeys(_COMPILED)}
    limits = roofline(answer, chip)
    figures = (
        _memory_parts(answer),
        answer.flops,
        answer.bytes,
        answer.all_reduce_bytes,
        answer.sent_bytes,
        answer.flops / batch,
        answer.bytes / batch,
        answer.temporary_bytes / batch,
        limits.seconds,
        limits.seconds_in_turn,
        limits.bound,
        dataclasses.asdict(limits),
        batch * slice_.chips / limits.seconds,
    )
    return {**row, "fits": answer.peak_bytes <= usable, **dict(zip(_COMPILED, figures, strict=True))}


_COMPILED = (
    *("hbm", "flops_per_chip", "bytes_per_chip", "all_reduce_bytes", "sent_bytes", "flops_per_example"),
    *("bytes_per_example", "temporary_bytes_per_example", "predicted_step_s", "predicted_step_in_turn_s", "bound"),
    *("predicted_limits", "predicted_examples_per_s"),
)


def _memory_parts(facts: Facts) -> dict[str, int]:
    return {
        "arguments": facts.argument_bytes,
        "outputs": facts.output_bytes,
        "temporaries": facts.temporary_bytes,
        "program": facts.code_bytes,
    }


def scaling(question: Question, slices: Sequence[Slice], phase: int) -> dict[str, list[dict[str, Any]]]:
    """Returns how a phase scales from the first slice to the others.

    Args:
      question: what is compiled.
      slices: at least two.
      phase: that is scaled, the one that takes longest.

    Returns:
      ``weak``, with as many examples per chip as on the first slice, and ``strong``, with as many in all; a row has
      ``predicted_examples_per_s``, ``predicted_efficiency`` (per chip, over that of the first slice) and the same
      ``in_turn``, where nothing goes on beside another; None where it does not divide or fit.
    """
    first, each = slices[0], question.batch_per_chip(slices[0])
    whole = each * first.chips
    sizes = {"weak": [each] * len(slices), "strong": [whole // s.chips if not whole % s.chips else 0 for s in slices]}
    return {kind: _scaled(question, slices, sizes[kind], phase) for kind in sizes}


def _scaled(question: Question, slices: Sequence[Slice], sizes: Sequence[int], phase: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for slice_, size in zip(slices, sizes, strict=True):
        row = {"name": slice_.name, "chips": slice_.chips, "batch_per_chip": size or None}
        answer = question.answer(slice_, size, phase) if size and size % question.parts == 0 else None
        keys = ("predicted_step_s", "bound", "predicted_examples_per_s", "predicted_efficiency")
        row |= {"fits": isinstance(answer, Facts), **dict.fromkeys((*keys, "predicted_efficiency_in_turn"))}
        if isinstance(answer, Facts):
            limits = roofline(answer, slice_.accelerator)
            row["predicted_step_s"], row["bound"] = limits.seconds, limits.bound
            row["predicted_examples_per_s"] = size * slice_.chips / limits.seconds
            per_chip = (size / limits.seconds, size / limits.seconds_in_turn)
            of_first = per_chip if not rows else rows[0].get("per_chip")
            row["per_chip"] = per_chip
            if of_first:
                row["predicted_efficiency"] = per_chip[0] / of_first[0]
                row["predicted_efficiency_in_turn"] = per_chip[1] / of_first[1]
        rows.append(row)
    return [{key: value for key, value in row.items() if key != "per_chip"} for row in rows]
