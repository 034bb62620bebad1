"""Strategies by name: what a config's string such as ``last_blocks:4`` or ``gradual:50+l2_sp`` stands for."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

from tlj.errors import InputError, unknown_name
from tlj.freezing.phases import FROZEN, Layout, Phase, check_phases
from tlj.freezing.regulariser import parse_l2_sp
from tlj.freezing.settings import Timing
from tlj.freezing.strategies import choose, rates, thaw
from tlj.freezing.strategies.rules import by_rules
from tlj.pretrained.load_plan import INITS


@dataclasses.dataclass(frozen=True)
class _Argument:
    """One argument in a strategy's string: an example, what it is in words, and how its text is read."""

    example: str
    expected: str
    read: Callable[[str], Any]
    optional: bool = False


def _matching(pattern: str, convert: Callable[[str], Any]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        if not re.fullmatch(pattern, text):
            raise ValueError(text)
        return convert(text)

    return read


def _share(text: str) -> float:
    if not 0 < float(text) < 1:
        raise ValueError(text)
    return float(text)


_COUNT = _Argument("1", "a whole number", _matching(r"\d+", int))
_ENDS = _Argument("0-2", "two blocks, i-j", _matching(r"\d+-\d+", lambda text: tuple(map(int, text.split("-")))))
_WHEN = _Argument(
    "100",
    "a number of steps or 'plateau'",
    _matching(r"[1-9]\d*|plateau", lambda text: text if text == "plateau" else int(text)),
)
_DECAY = _Argument("0.75", f"a factor up to 1, or {', '.join(rates.PRESETS)}", rates.parse_decay, optional=True)
_FIRST = _Argument("0.8", "a number between 0 and 1", _share, optional=True)
_SCALING = _Argument("unscaled", "'scaled' or 'unscaled'", _matching("scaled|unscaled", str), optional=True)


@dataclasses.dataclass(frozen=True)
class _Entry:
    """A strategy under its name.

    Attributes:
      phases: the function of the layout (and of the timing, where ``timed``) and the arguments.
      arguments: that its string takes.
      timed: whether the function takes the timing.
      default_init: where the config names none.
      inits: that it makes sense with.
      copies: whether its first argument is the number of blocks that come from the source, the others being reset.
    """

    phases: Callable[..., tuple[Phase, ...]]
    arguments: tuple[_Argument, ...] = ()
    timed: bool = False
    default_init: str = "pretrained"
    inits: tuple[str, ...] = INITS
    copies: bool = False


_REGISTRY = {
    "scratch": _Entry(choose.full, default_init="scratch", inits=("scratch",)),
    "full": _Entry(choose.full),
    "linear_probe": _Entry(choose.linear_probe),
    "last_blocks": _Entry(choose.last_blocks, (_COUNT,)),
    "first_blocks": _Entry(choose.first_blocks, (_COUNT,)),
    "blocks": _Entry(choose.blocks, (_ENDS,)),
    "copy_freeze": _Entry(choose.copy_freeze, (_COUNT,), copies=True),
    # With nothing to copy it would be `scratch` under another name.
    "copy_train": _Entry(choose.copy_train, (_COUNT,), copies=True, inits=("pretrained", "mean_var")),
    "lp_ft": _Entry(thaw.lp_ft, (dataclasses.replace(_WHEN, optional=True),), timed=True),
    "gradual": _Entry(thaw.gradual, (_WHEN,), timed=True),
    "discriminative": _Entry(rates.discriminative, (_DECAY,)),
    "freeze_out": _Entry(thaw.freeze_out, (_FIRST, _SCALING), timed=True),
    "bias_only": _Entry(choose.bias_only),
    "norm_only": _Entry(choose.norm_only),
    "lora": _Entry(choose.lora, (dataclasses.replace(_COUNT, example="8"),)),
    "rules": _Entry(lambda layout, rules: by_rules(layout, rules)),
}
NAMES = tuple(_REGISTRY)
# What may stand after a strategy and a plus.
ADDITIONS = ("l2_sp", "discriminative")


@dataclasses.dataclass(frozen=True)
class Strategy:
    """A strategy as a config names it, for example ``last_blocks:4``.

    Attributes:
      text: the config's string.
      name: the strategy's own name, for example ``"last_blocks"``.
      default_init: the init where the config names none.
      inits: the inits it makes sense with.
      rank: of the adapters that it trains, or None.
      copied: number of blocks that come from the source, the others being reset; None where all do.
      l2_sp: alpha and beta of its L2-SP penalty, or None.
    """

    text: str
    name: str
    default_init: str
    inits: tuple[str, ...]
    rank: int | None
    copied: int | None
    l2_sp: tuple[float, float] | None
    _yield: Callable[[Layout, Timing, Sequence[tuple[str, str]]], tuple[Phase, ...]]

    def phases(self, layout: Layout, timing: Timing, rules: Sequence[tuple[str, str]] = ()) -> tuple[Phase, ...]:
        """Returns the phases on a model; what they leave to the config is still open.

        Args:
          layout: of the model, with the adapters where the strategy has any.
          timing: of the run.
          rules: ``config.rules``, which the strategy ``rules`` reads.

        Raises:
          InputError: where the model or the run cannot be trained so.
        """
        return check_phases(self._yield(layout, timing, rules), timing.steps)


def parse_strategy(text: str, *, where: str = "config.strategy") -> Strategy:
    """Returns the strategy that a string names.

    Args:
      text: a name and its arguments, separated by colons; then, each after a plus, what is added to it: ``l2_sp``
        (alpha and beta) or ``discriminative`` (a decay).
      where: the config key, for the error.

    Raises:
      InputError: for an unknown name, or arguments that are not those it takes.

    Example:
      >>> parse_strategy("last_blocks:4").default_init
      'pretrained'
    """
    if "@" in str(text):
        strategy, _, init = str(text).partition("@")
        what = f"{text!r} is an arm, a strategy with its init"
        raise InputError(what, where=where, nearest=strategy, do=f"set config.init to {init or 'an init'} as well")
    first, *additions = str(text).split("+")
    name, values = _read(first, _REGISTRY, "strategy", where)
    entry = _REGISTRY[name]
    decay, l2_sp = None, None
    for addition in additions:
        kind, *arguments = addition.split(":")
        if kind == "l2_sp" and l2_sp is None:
            l2_sp = parse_l2_sp(arguments, where=where)
        elif kind == "discriminative" and decay is None and name != "discriminative":
            _, read = _read(addition, {kind: _REGISTRY[kind]}, "addition", where)
            decay = read[0] if read else rates.PRESETS["ulmfit"]
        elif kind in ADDITIONS:
            raise InputError(f"{text!r} adds {kind} twice", where=where, do="add it once")
        else:
            raise unknown_name("addition", kind, ADDITIONS, where=where)

    def phases(layout: Layout, timing: Timing, rules: Sequence[tuple[str, str]]) -> tuple[Phase, ...]:
        given = (rules,) if name == "rules" else values
        yielded = entry.phases(layout, timing, *given) if entry.timed else entry.phases(layout, *given)
        return rates.decay_by_depth(yielded, layout, decay) if decay else yielded

    # A random start is none to stay close to; one redrawn at the pretrained scale is the control of the pretrained one.
    inits = tuple(init for init in entry.inits if not (l2_sp and init == "scratch"))
    if not inits:
        raise InputError(f"{text!r} pulls towards a random start", where=where, do="leave l2_sp out")
    return Strategy(
        text=str(text),
        name=name,
        default_init=entry.default_init,
        inits=inits,
        rank=values[0] if name == "lora" else None,
        copied=values[0] if entry.copies else None,
        l2_sp=l2_sp,
        _yield=phases,
    )


def _read(text: str, entries: dict[str, _Entry], kind: str, where: str) -> tuple[str, tuple[Any, ...]]:
    """Returns the name in ``name:argument:...`` and the values of the arguments."""
    name, *arguments = text.split(":")
    if name not in entries:
        raise unknown_name(kind, name, entries, where=where)
    takes = entries[name].arguments
    needed = sum(not argument.optional for argument in takes)
    example = ":".join([name, *(argument.example for argument in takes[: max(needed, 1)])])
    try:
        if not needed <= len(arguments) <= len(takes):
            raise ValueError(text)
        return name, tuple(argument.read(value) for argument, value in zip(takes, arguments, strict=False))
    except ValueError as error:
        wanted = ", then ".join(("perhaps " if a.optional else "") + a.expected for a in takes) or "nothing"
        raise InputError(f"{text!r}: {name} takes {wanted}", where=where, do=f"write {example!r}") from error


def resolve_init(strategy: Strategy, init: str, *, where: str = "config.init") -> str:
    """Returns the init a run uses: the one named, or the strategy's default for an empty name.

    Raises:
      InputError: for an init that does not exist or that makes no sense with the strategy.
    """
    if not init:
        return strategy.default_init
    if init not in INITS:
        raise unknown_name("init", init, INITS, where=where)
    if init not in strategy.inits:
        raise InputError(
            f"strategy {strategy.text!r} cannot start from init {init!r}",
            where=where,
            do=f"use init {' or '.join(strategy.inits)}, or the strategy 'full'",
        )
    return init


def control_name(phases: Sequence[Phase], init: str) -> str:
    """Returns the name of a run that is a control rather than a way to transfer, or an empty text.

    What is trained on top of a backbone that was never trained uses *random features*; what starts from weights
    redrawn at the pretrained scale has their *scale without features*.

    Args:
      phases: of the strategy.
      init: resolved.
    """
    if init == "mean_var":
        return "scale without features"
    never = set.intersection(*({path for path, label in phase.labels if label == FROZEN} for phase in phases))
    return "random features" if init == "scratch" and any(p.startswith("backbone/") for p in never) else ""
