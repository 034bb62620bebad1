"""One line that says how far work is: whole for a log, and what fits for a terminal."""

from __future__ import annotations

import dataclasses

NARROWEST_BAR, WIDEST_BAR = 8, 40


@dataclasses.dataclass(frozen=True)
class Standing:
    """How far work is.

    Attributes:
      what: of the work.
      count: of units, such as ``"step 3/10"``.
      share: of the work that is done, 0 to 1.
      seconds: since this process began with it.
      seconds_left: by its pace, or None while that is not known.
      facts: shown beside the count, the most important first.
    """

    what: str
    count: str
    share: float
    seconds: float
    seconds_left: float | None
    facts: tuple[str, ...] = ()

    @property
    def left(self) -> str:
        """The time left in words; empty where it is not known, or nothing is left."""
        return "" if self.seconds_left is None or self.share >= 1 else f"{clock_time(self.seconds_left)} left"


def clock_time(seconds: float) -> str:
    """Returns a time as ``minutes:seconds``, or ``hours:minutes:seconds``."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def log_line(standing: Standing) -> str:
    """Returns the line for a log, which holds everything."""
    facts = [fact for fact in (*standing.facts, standing.left) if fact]
    return ", ".join([f"{standing.what}: {standing.count} after {standing.seconds:.0f} s", *facts])


def terminal_line(standing: Standing, width: int, *, ascii_only: bool = False) -> str:
    """Returns the line for a terminal: a bar in the room that is left, and no more than fits.

    What goes first where room is short: the facts that are not among the first three, the bar, what the work is, the
    other facts, the time left.

    Args:
      standing: of the work.
      width: of the terminal, in cells.
      ascii_only: whether the terminal shows nothing but ASCII.
    """
    from rich.cells import cell_len

    shown = {"what": standing.what, "bar": "-" * NARROWEST_BAR, "count": standing.count}
    shown |= {f"fact {index}": fact for index, fact in enumerate(standing.facts)} | {"left": standing.left}
    shown = {name: text for name, text in shown.items() if text}

    def room() -> int:
        return width - sum(cell_len(text) + 2 for text in shown.values()) + 2

    facts = [name for name in shown if name.startswith("fact")][::-1]
    droppable = [*facts[:-3], "bar", "what", *facts[-3:], "left"]
    while droppable and room() < 0:
        shown.pop(droppable.pop(0), None)
    if "bar" in shown:
        shown["bar"] = _bar(standing.share, min(NARROWEST_BAR + room(), WIDEST_BAR), ascii_only)
    # By now only the count may be too long.
    return "  ".join(shown.values())[:width]


def _bar(share: float, width: int, ascii_only: bool) -> str:
    done, open_ = "#." if ascii_only else "━╌"
    filled = int(min(share, 1.0) * width)
    return done * filled + open_ * (width - filled)
