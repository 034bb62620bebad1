"""Where the steps of each phase of a run start from, and its state there and as a whole."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from tlj.data.label_kinds import as_held
from tlj.models.activations import FromDepth
from tlj.pretrained.load_report import LoadReport
from tlj.progress import say
from tlj.training.cached.extract import Wanted, depths_of, extract, is_ragged, layout_of, wanted
from tlj.training.cached.parts import above, at_depth
from tlj.training.cached.reader import CachedInputs, CachedReader, Rows, StandIn
from tlj.training.cached.room import check_room
from tlj.training.cached.start import SharedStart, shared_start, shared_variables
from tlj.training.compiled import abstract_state
from tlj.training.delta import delta_of
from tlj.training.initial import start_variables
from tlj.training.originals import Originals
from tlj.training.programs import Programs
from tlj.training.setup import Setup
from tlj.training.state import TrainState
from tlj.training.summary import state_digests

_said: set[str] = set()
_saying = threading.Lock()


def from_activations(setup: Setup, depth: int | None, rows: Rows | None = None) -> Setup:
    """Returns a setup whose steps and evaluation start from activations.

    Args:
      setup: of a run, which starts from inputs.
      depth: that the activations leave; None is the setup itself.
      rows: where they are; None has noise of their shapes stand in for them.
    """
    if depth is None:
        return setup
    pooled, ragged = depth == setup.spec.depth, is_ragged(setup, depth)
    if rows is None:
        layout = layout_of(setup, depth)
        rows = StandIn(layout.shape, jnp.dtype(layout.dtype))
    masked = not pooled and setup.source.kind == "text"
    labels = as_held(setup.source.labels)

    def reader(base: Any, by_length: bool) -> CachedReader:
        return CachedReader(base, rows, labels, FromDepth(depth), ragged, masked, pooled, by_length)

    inputs = CachedInputs(
        depth,
        reader(setup.reader, masked and setup.reader.by_length),
        reader(setup.training_reader, setup.training_reader.by_length),
        setup.config["cache"]["views"],
    )
    return dataclasses.replace(setup, cached=inputs)


class CachedRun:
    """A run phase by phase: the setup that its steps take, and its state without what they do not.

    What stands below the boundary of a phase is on the host, once for all runs of a start; so are the originals of
    frozen parameters that its steps take in the compute type. Where nothing is cached or rounded, all of this is the
    run's own setup and its state as it is.

    Args:
      setup: of the run.
      programs: compiled programs to share.
      known: returns the digest of an array that nothing can have changed since it was taken; None for any other.
    """

    def __init__(self, setup: Setup, programs: Programs, known: Callable[[Any], str | None] | None = None):
        self._setup, self._programs, self.depths = setup, programs, depths_of(setup)
        self._known = known or (lambda leaf: None)
        self._setups: dict[int | None, Setup] = {None: setup}
        delta = delta_of(setup)
        self._left_out = delta.left_out if delta else frozenset()
        self._originals = Originals(setup, programs)
        self._asked: dict[int, Wanted] = {}
        self._told = False

    @property
    def _start(self) -> SharedStart:
        return shared_start(self._setup)

    def variables(self) -> tuple[dict[str, Any], LoadReport]:
        """Returns what the run starts from (``start_variables``); a source is read once for all runs that share it."""
        caches = self.depths[0] is not None
        return shared_variables(self._setup) if caches else start_variables(self._setup)

    def above(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the part of the variables that the first phase takes."""
        return above(variables, self._setup.spec, self.depths[0])

    def keep(self, variables: Mapping[str, Any], index: int) -> None:
        """Keeps what a phase, whose state was made from variables, rounds of them."""
        self._originals.keep(variables["params"], index)

    def rounded(self, state: TrainState, index: int) -> TrainState:
        """Returns a state in float32 as the steps of a phase take it."""
        return self._originals.rounded(state, index)

    def goes_on(self, state: TrainState, digests: Mapping[str, str], index: int) -> TrainState:
        """Returns a whole state as a phase takes it.

        Where the checkpoint holds other frozen values than the run would start from now, which another version of a
        library may draw, the run goes on from inputs.

        Args:
          state: of a checkpoint.
          digests: of the phase's start, by path.
          index: of the phase.
        """
        if self.depths[index] is not None:
            held = self._start.below(self._setup, self.depths[index])
            if any(digests[path] != self._start.digests[path] for leaves in held.values() for path in leaves):
                say("tlj: the frozen weights of the checkpoint are not made the same any more: nothing is cached")
                self.depths = (None,) * len(self.depths)
        return self.rounded(self.evaluated(state, index), index)

    def setup(self, index: int) -> Setup:
        """Returns the setup of a phase, once its activations are there.

        Args:
          index: of the phase.

        Raises:
          InputError: where the disk has no room for those of this phase and of all after it.
        """
        depth = self.depths[index]
        if not self._told:
            self._tell()
        if depth is not None and depth not in self._setups:
            self._ask(index)
            extract(self._setup, self._programs, self._asked[depth])
            self._setups[depth] = from_activations(self._setup, depth, self._asked[depth].file)
        return self._setups[depth]

    def _ask(self, index: int) -> None:
        if self._asked:
            return
        for depth in sorted({depth for depth in self.depths[index:] if depth is not None}):
            self._asked[depth] = wanted(self._setup, depth)
        needed = {d: sum(map(a.file.layout.bytes_of, a.missing())) for d, a in self._asked.items()}
        if total := sum(needed.values()):
            check_room(self._setup, total, self._setup.config["strategy"])

    def _tell(self) -> None:
        """Says once for runs that are alike what is cached, or why nothing is."""
        self._told = True
        line = describe(self._setup, self.depths)
        with _saying:
            if line and line not in _said:
                _said.add(line)
                say(line)

    def whole(self, state: TrainState, index: int) -> TrainState:
        """Returns a state of a phase with all parameters and statistics; those that it rounds are so, as it is."""
        return state if self.depths[index] is None else self._at(None, state, index)

    def saved(self, state: TrainState, index: int) -> TrainState:
        """Returns a state of a phase with all that a checkpoint of the run holds."""
        state = self._originals.whole(state, self._left_out)
        return state if self.depths[index] is None else self._at(None, state, index, self._left_out)

    def at_next(self, state: TrainState, index: int) -> TrainState:
        """Returns the state at the end of a phase in float32, with what the next takes; its optimizer is the old."""
        state = self._originals.whole(state)
        following = self.depths[index + 1]
        return state if following == self.depths[index] else self._at(following, state, index)

    def evaluated(self, state: TrainState, index: int) -> TrainState:
        """Returns a whole state as the setup of a phase takes it."""
        return state if self.depths[index] is None else self._at(self.depths[index], state, index)

    def _at(self, depth: int | None, state: TrainState, index: int, left_out: frozenset[str] = frozenset()):
        # Its activations need not be there yet.
        setup = dataclasses.replace(self._setup, cached=depth and CachedInputs(depth, None, None))
        shapes = abstract_state(setup, self._setup.phases[index], whole=True)
        return at_depth(state, shapes, self._start.variables, left_out)

    def digests(self, state: TrainState, index: int) -> dict[str, str]:
        """Returns the digest of every parameter and statistic, by path; those on the host cannot have changed."""
        found = self._originals.digests(state, state_digests(state, self._known))
        return found if self.depths[index] is None else {**self._start.digests, **found}

    def facts(self) -> list[dict[str, Any]]:
        """Returns what was cached for the phases that began: depth, bytes, and what making it has cost in all."""
        return [
            {
                "depth": depth,
                "file": asked.file.folder.name,
                "bytes": asked.file.bytes_on_disk(),
                **{name: asked.file.facts.get(name) for name in ("seconds", "flops", "examples")},
            }
            for depth, asked in self._asked.items()
            if depth in self._setups
        ]


def describe(setup: Setup, depths: tuple[int | None, ...]) -> str:
    """Returns a line on what a run caches, or why it caches nothing; empty where it is not asked to."""
    if setup.config["cache"]["activations"] == "none":
        return ""
    strategy, kind = setup.config["strategy"], setup.config["cache"]["activations"]
    if not any(depth is not None for depth in depths):
        return f"tlj: {strategy}: nothing is cached, as it trains from the first block on: each step goes all the way"
    parts = []
    for depth in dict.fromkeys(depths):
        if depth is None:
            parts.append("then from the inputs")
            continue
        layout = layout_of(setup, depth)
        shape = "x".join(map(str, layout.shape))
        what = "the features" if depth == setup.spec.depth else f"depth {depth} of {setup.spec.depth}"
        unit = "a token" if layout.items is not None else "an example"
        parts.append(f"from {what} ({shape} {kind}, {layout.item_bytes:,} bytes {unit})")
    return f"tlj: {strategy}: steps start {', '.join(parts)}"
