"""How numbers, arms and label budgets are said in a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tlj.evidence.runs import Arm

MINUS = "\N{MINUS SIGN}"


def points(difference: float, signed: bool = True) -> str:
    """Returns a difference in accuracy in percentage points, ``+12.3`` or ``−0.4``."""
    text = f"{100 * difference:+.1f}" if signed else f"{100 * difference:.1f}"
    # A rounded zero has no direction.
    return "0.0" if text in ("+0.0", "-0.0", "0.0") else text.replace("-", MINUS)


def points_interval(interval: Sequence[float] | None) -> str:
    """Returns an interval in percentage points, ``[−0.3, 3.4]``, or nothing where there is none."""
    return "" if interval is None else f"[{points(interval[0], signed=False)}, {points(interval[1], signed=False)}]"


def count(labels: float) -> str:
    """Returns a number of labels to three digits, ``12``, ``1,240``; a small one keeps its fraction, ``3.4``."""
    return f"{labels:.2g}" if labels < 9.5 else f"{float(f'{labels:.3g}'):,.0f}"


def factor(value: float) -> str:
    """Returns a multiplier, ``0.075×``, ``0.71×``, ``8.0×``, ``23×``."""
    if value >= 9.95:
        return f"{float(f'{value:.3g}'):,.0f}×"
    return f"{value:.1f}×" if value >= 0.995 else f"{value:.2f}×" if value >= 0.0995 else f"{value:.2g}×"


def of_labels(budget: int) -> str:
    """Returns ``1 label``, ``1,200 labels``."""
    return f"{budget:,} label" + ("" if budget == 1 else "s")


def listed(parts: Iterable[str], word: str = "and") -> str:
    """Returns ``a``, ``a and b``, ``a, b and c``."""
    parts = list(parts)
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {word} {parts[-1]}" if parts else ""


def where(stretch: Sequence[int], budgets: Sequence[int], each: str = "every") -> str:
    """Says which of all label budgets a stretch of neighbouring budgets covers.

    Args:
      stretch: neighbouring budgets, smallest first.
      budgets: all budgets, smallest first.
      each: the word for all of them, ``"any"`` behind a "cannot".

    Returns:
      For example ``at up to 100 labels``, ``at 200 labels and above``, ``at every budget (10 to 538 labels)``.
    """
    first, last = stretch[0], stretch[-1]
    if len(stretch) == 1:
        return f"at {of_labels(first)}"
    if first == budgets[0] and last == budgets[-1]:
        return f"at {each} budget ({first:,} to {of_labels(last)})"
    if first == budgets[0]:
        return f"at up to {of_labels(last)}"
    if last == budgets[-1]:
        return f"at {of_labels(first)} and above"
    return f"at {first:,} to {of_labels(last)}"


_TRAINING = {
    "full": "fine-tuning everything",
    "scratch": "training from scratch",
    "linear_probe": "training the head alone",
    "last_blocks": "training the last {blocks} and the head",
    "first_blocks": "training the first {blocks} and the head",
    "blocks": "training blocks {amount} and the head",
    "copy_freeze": "copying and freezing the first {blocks}",
    "copy_train": "copying the first {blocks} and training everything",
    "lp_ft": "training the head first, then everything",
    "gradual": "thawing from the head down",
    "discriminative": "fine-tuning everything at rates that fall with depth",
    "freeze_out": "freezing from the embedding up",
    "bias_only": "training the biases and the head",
    "norm_only": "training the norms and the head",
    "lora": "training adapters of rank {amount} and the head",
    "rules": "training what its rules name",
}


def described(arm: Arm) -> str:
    """Says what an arm trains, with its name, ``training the head alone (linear_probe)``."""
    name, _, amount = arm.strategy.partition("+")[0].partition(":")
    words = _TRAINING.get(name, "").format(amount=amount, blocks="block" if amount == "1" else f"{amount} blocks")
    if words and arm.control == "random features":
        words += " on random features"
    return f"{words} ({arm.name})" if words else arm.name


def sentence(text: str) -> str:
    """Returns the text with a capital first letter."""
    return text[:1].upper() + text[1:]
