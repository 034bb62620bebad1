"""The table of configuration keys: what each means, its default, and which values it takes."""

from __future__ import annotations

import ast
import dataclasses
import decimal
import math
import operator
import re
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Kind:
    """The values a key takes.

    Attributes:
      expected: the values in words, for the error message: "a whole number of at least 1".
      convert: returns the value in its own type, from that type or from text; raises ValueError or TypeError.
      names: the names to look for the nearest in, where the value is a name.
      mixed: whether values of several types are allowed, so that the default's type must not be enforced.
    """

    expected: str
    convert: Callable[[object], object]
    names: tuple[str, ...] = ()
    mixed: bool = False


@dataclasses.dataclass(frozen=True)
class Key:
    """One configuration key: its default, the values it takes, and what it means."""

    default: object
    kind: Kind
    meaning: str


def _whole(least: int) -> Kind:
    def convert(value):
        if isinstance(value, bool):
            raise TypeError(value)
        number = int(value) if isinstance(value, str) else operator.index(value)
        if number < least:
            raise ValueError(value)
        return number

    return Kind(f"a whole number of at least {least}", convert)


def _number(expected: str, allowed: Callable[[float], bool]) -> Kind:
    def convert(value):
        if isinstance(value, bool):
            raise TypeError(value)
        number = float(value)
        if not (math.isfinite(number) and allowed(number)):
            raise ValueError(value)
        return number

    return Kind(expected, convert)


def _text(expected: str, *, may_be_empty: bool = False) -> Kind:
    def convert(value):
        if not isinstance(value, str):
            raise TypeError(value)
        if not (value.strip() or may_be_empty):
            raise ValueError(value)
        return value

    return Kind(expected, convert)


def _one_of(*names: str) -> Kind:
    def convert(value):
        if value not in names:
            raise ValueError(value)
        return value

    return Kind(f"one of {', '.join(names)}", convert, names)


def _or_all(kind: Kind) -> Kind:
    def convert(value):
        return "all" if isinstance(value, str) and value.strip() == "all" else kind.convert(value)

    return Kind(f"{kind.expected} or 'all'", convert, mixed=True)


def _step() -> Kind:
    names = ("latest", "best")

    def convert(value):
        return value if value in names else _whole(0).convert(value)

    return Kind("latest, best or a whole number of at least 0", convert, names, mixed=True)


def parse_literal(text: str) -> object:
    """Returns the Python literal that ``text`` spells, or the text itself where it spells none.

    ``true`` and ``false`` are read as booleans, because the text ``"false"`` would count as true.
    """
    if text.strip().lower() in ("true", "false"):
        return text.strip().lower() == "true"
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def spell(value: object) -> str:
    """Returns a value as a command line spells it: ``0,1,2`` for a tuple, and text without quotes."""
    return ",".join(str(item) for item in value) if isinstance(value, (list, tuple)) else str(value)


def _items(text: str) -> list | tuple:
    value = parse_literal(text)
    if isinstance(value, (list, tuple)):
        return value
    # `scratch,full` and `10,25,all` spell no Python literal, and a lone value is a list of one.
    return [item.strip() for item in text.strip().strip("()[]").split(",") if item.strip()]


def _list_of(kind: Kind) -> Kind:
    def convert(value):
        if isinstance(value, str):
            value = _items(value)
        if not isinstance(value, (list, tuple)):
            raise TypeError(value)
        items = tuple(kind.convert(item) for item in value)
        if not items or len(set(items)) < len(items):
            raise ValueError(value)
        return items

    return Kind(f"a list, neither empty nor with repeats, of {kind.expected}", convert)


def _split_patterns(text: str) -> list | tuple:
    value = parse_literal(text)
    if isinstance(value, (list, tuple)):
        return value
    # Brackets belong to a pattern, and so does a comma in one.
    return [item.strip() for item in re.split(r",(?![^(\[{]*[)\]}])", text) if item.strip()]


def _patterns() -> Kind:
    def convert(value):
        items = _split_patterns(value) if isinstance(value, str) else value
        if not isinstance(items, (list, tuple)):
            raise TypeError(value)
        try:
            return tuple(re.compile(item).pattern for item in items)
        except re.error as error:
            raise ValueError(value) from error

    return Kind("a list of regular expressions", convert)


def _yes_no(value: object) -> bool:
    if isinstance(value, str):
        value = parse_literal(value)
    if not isinstance(value, bool):
        raise ValueError(value)
    return value


def parse_warmup(value: object) -> tuple[float, str]:
    """Returns the number and the unit of a warm-up such as ``10 steps``, ``0.5 epochs`` or ``2000 examples``.

    A bare number is of steps; steps and examples are whole.

    Raises:
      ValueError: for anything else.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(step|epoch|example)?s?\s*", str(value))
    if isinstance(value, bool) or not match or (match[2] != "epoch" and float(match[1]) % 1):
        raise ValueError(value)
    return float(match[1]), f"{match[2] or 'step'}s"


def _warmup(value: object) -> str:
    number, unit = parse_warmup(value)
    # Without an exponent, which a length cannot be written with.
    return f"{int(number) if number.is_integer() else format(decimal.Decimal(repr(number)), 'f')} {unit}"


def _rules(value: object) -> tuple[tuple[str, str], ...]:
    """Returns (pattern, group) pairs, from themselves or from the Python literal that spells them."""
    items = _items(value) if isinstance(value, str) else value
    if not all(isinstance(item, (list, tuple)) for item in (items, *items)):
        raise TypeError(value)
    pairs = tuple(tuple(pair) for pair in items)
    if not all(len(pair) == 2 and all(isinstance(item, str) and item for item in pair) for pair in pairs):
        raise ValueError(value)
    return pairs


_WARMUP = Kind("a length such as '10 steps', '0.5 epochs' or '2000 examples'", _warmup)
_RULES = Kind('a list of (pattern, group) pairs, such as (("head/.*", "head"), (".*", "frozen"))', _rules)
_FRACTION = _number("a number between 0 and 1, ends excluded", lambda x: 0 < x < 1)
_SHARE = _number("a number from 0 to below 1", lambda x: 0 <= x < 1)
_YES_NO = Kind("true or false", _yes_no)
_POSITIVE = _number("a number above 0", lambda x: x > 0)
_NOT_NEGATIVE = _number("a number of at least 0", lambda x: x >= 0)
_ANY_TEXT = _text("text", may_be_empty=True)
_BUDGET = _or_all(_whole(1))
_KEEP = dataclasses.replace(
    _one_of("all", "trainable"), expected="one of all, trainable (checkpoint.latest is how many are kept)"
)
_STEP = _step()
_PATTERNS = _patterns()
_ARM = _text("text such as full or full@mean_var")
_OPTIMIZER = _one_of("adamw", "sgd", "lamb", "lion")
_SCHEDULE = _one_of("constant", "linear", "cosine", "slanted_triangular", "rsqrt")

KEYS: dict[str, Key] = {
    "workdir": Key("", _ANY_TEXT, "folder of the run files"),
    "seed": Key(0, _whole(0), "seed of one run: labels, batches, augmentation, head and dropout follow from it"),
    "seeds": Key((0, 1, 2, 3, 4), _list_of(_whole(0)), "seeds of a comparison; a pair shares its seed"),
    "label_budget": Key("all", _BUDGET, "labelled examples of one run, validation labels counted"),
    "label_budgets": Key(("all",), _list_of(_BUDGET), "label budgets of a comparison"),
    "strategy": Key("full", _text("text such as full or last_blocks:1"), "what one run trains; the README lists them"),
    "rules": Key((), _RULES, "what the strategy 'rules' trains: (pattern, group or frozen) pairs, first match wins"),
    "init": Key("", _ANY_TEXT, "where one run starts: pretrained, scratch, mean_var; empty is the strategy's own"),
    "arms": Key(("scratch", "full"), _list_of(_ARM), "arms of a comparison, each strategy or strategy@init"),
    "twin": Key("scratch", _ARM, "the arm that every other arm pairs with"),
    "steps": Key(200, _whole(1), "training steps"),
    "global_batch_size": Key(32, _whole(1), "examples per step, over all devices"),
    "dtype": Key("float32", _one_of("float32", "bfloat16"), "type of the computation; parameters are float32"),
    "margin": Key(0.005, _FRACTION, "smallest difference in accuracy that matters; 0.005 is half a point"),
    "model.family": Key("vit", _text("the name of a model family"), "architecture: vit, resnet or bert"),
    "model.source": Key(
        "",
        _ANY_TEXT,
        "pretrained model: a run, a folder or file of another origin, or a hub id; relative to the workdir, or to here",
    ),
    "model.step": Key("latest", _STEP, "of a source that is a run: latest, best (lowest validation loss) or a step"),
    "model.allow_missing": Key((), _PATTERNS, "patterns of names that a source may lack, add or have in another shape"),
    "data.source": Key("digits", _text("the name of a data source"), "data set, such as digits:5-9"),
    "data.test_fraction": Key(0.4, _FRACTION, "share of the examples kept for the test"),
    "data.validation_fraction": Key(0.2, _FRACTION, "share of the label budget held out for validation"),
    "data.split_seed": Key(0, _whole(0), "seed of the test split, the same for every seed and arm"),
    "data.on_error": Key("raise", _one_of("raise"), "what to do with an example that cannot be read: stop"),
    "data.augment.shift": Key(0, _whole(0), "largest random shift, in pixels"),
    "optimizer.name": Key("adamw", _OPTIMIZER, "update rule; sgd has Nesterov momentum 0.9"),
    "optimizer.learning_rate": Key(1e-3, _POSITIVE, "peak learning rate"),
    "optimizer.weight_decay": Key(0.05, _NOT_NEGATIVE, "decoupled weight decay, of kernels"),
    "optimizer.clip_norm": Key(1.0, _NOT_NEGATIVE, "global norm that gradients are clipped to; 0 clips nothing"),
    "optimizer.schedule": Key("cosine", _SCHEDULE, "shape after the warm-up; slanted_triangular has a rise of its own"),
    "optimizer.warmup": Key("10 steps", _WARMUP, "linear warm-up, in steps, epochs or examples"),
    "optimizer.label_smoothing": Key(0.0, _SHARE, "label smoothing of the training loss"),
    "plateau.patience": Key(3, _whole(1), "validations without a lower loss that end a phase that waits for a plateau"),
    "plateau.min_delta": Key(0.0, _NOT_NEGATIVE, "by how much the validation loss must be lower to count"),
    "lora.alpha": Key(16.0, _POSITIVE, "the update of lora:r is alpha / r times the product of its adapters"),
    "lora.targets": Key(
        ("query", "value"), _list_of(_text("the name of a dense layer")), "dense layers that get adapters"
    ),
    "evaluate.every": Key(0, _whole(0), "steps between validations; 0 is only at the end"),
    "evaluate.batch_size": Key(128, _whole(1), "examples per evaluation step"),
    "checkpoint.every": Key(0, _whole(0), "steps between checkpoints; 0 is only at the end"),
    "checkpoint.latest": Key(2, _whole(1), "checkpoints kept, the latest"),
    "checkpoint.keep": Key("all", _KEEP, "what one holds: all, or trainable: all but what never trains, a small delta"),
    "log.every": Key(50, _whole(1), "steps per line of metrics and per timing window"),
    "parallel.mode": Key("jit", _one_of("jit"), "how a step runs over devices"),
    "parallel.fsdp": Key(1, _whole(1), "devices that one copy of the parameters is spread over"),
    "experiments.workers": Key(1, _whole(1), "runs trained at once in this process"),
}

# Keys of one group, under `groups.NAME`; what is not set is as the strategy and the optimizer have it.
_OPEN = "that of the strategy or the optimizer"
GROUP_KEYS: dict[str, Key] = {
    "learning_rate_factor": Key(_OPEN, _POSITIVE, "factor on the learning rate"),
    "weight_decay": Key(_OPEN, _NOT_NEGATIVE, "decoupled weight decay"),
    "decays": Key(_OPEN, _one_of("kernels", "all"), "what decays"),
    "optimizer": Key(_OPEN, _OPTIMIZER, "update rule"),
    "schedule": Key(_OPEN, _SCHEDULE, "shape after the warm-up"),
    "schedule_steps": Key(_OPEN, _whole(1), "length of the schedule"),
    "warmup": Key(_OPEN, _WARMUP, "linear warm-up, in steps, epochs or examples"),
    "norm_mode": Key(_OPEN, _one_of("frozen", "adapt", "train"), "what norms do: adapt moves statistics, not weights"),
    "dropout": Key(_OPEN, _YES_NO, "whether dropout and stochastic depth are on"),
}

FREE: dict[str, str] = {
    "model.settings": "sizes of the model, checked by its family; beside a source, what differs from it",
    "model.preprocessing": "mean, std, resample, resize_to and keep_aspect of images, where not the source's or data's",
    "groups": f"settings of single groups, {{group: {{{', '.join(GROUP_KEYS)}}}}}; `tlj plan` lists the groups",
    "pretrain": "overrides that make the run of the source, trained once into WORKDIR/source; empty is no source run",
    "declared": "declared differences of an arm from its twin: {arm: overrides}",
}
