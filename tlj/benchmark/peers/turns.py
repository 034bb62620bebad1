"""A peer and tlj in turns, each in a process of its own, and the ratio of their steps."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pathlib
import shutil
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tlj.benchmark.children import ask, own_command, own_environment
from tlj.errors import InputError, RunError
from tlj.huge_pages import with_huge_pages

FRAMEWORKS = ("torch", "hf_flax")
_OWN_STEP = "tlj.benchmark.peers.own_step"
_VERSIONS = """
import importlib.metadata, json
def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
print(json.dumps({name: version(name) for name in ("torch", "transformers", "jax", "flax")}))
"""


@dataclasses.dataclass(frozen=True)
class Peer:
    """What a user would run instead.

    Attributes:
      python: the interpreter of its environment.
      script: prints one JSON line with ``median_s``, the seconds of a step.
      framework: ``"torch"`` or ``"hf_flax"``.
      compiles: whether ``torch.compile`` is asked for.
    """

    python: str
    script: pathlib.Path
    framework: str
    compiles: bool = False

    def check(self) -> None:
        """Checks that both files are there.

        Raises:
          InputError: where one is not.
        """
        if shutil.which(self.python) is None:
            raise InputError(f"no program {self.python}", where="--peer-python", do="give the peer's own python")
        if not self.script.is_file():
            raise InputError(f"no file {self.script}", where="--peer-script", do="give the peer's script")
        if self.compiles and self.framework != "torch":
            what = f"{self.framework} always compiles its steps"
            raise InputError(what, where="--compile", do="leave it out, or use --framework=torch")

    @property
    def name(self) -> str:
        """What it is called in a table."""
        return f"{self.framework} --compile" if self.compiles else self.framework


@dataclasses.dataclass(frozen=True)
class Step:
    """The step that both take.

    Attributes:
      config: the configuration file of tlj's models of real size.
      model: its name, for both.
      train: ``"all"``, ``"head"`` or ``"last4"``.
      batch: examples.
      steps: timed in each process.
      device: ``"cpu"`` or ``"cuda"``.
      dtype: ``"float32"`` or ``"bfloat16"``.
      overrides: of tlj's configuration besides.
    """

    config: str
    model: str
    train: str = "all"
    batch: int = 8
    steps: int = 7
    device: str = "cpu"
    dtype: str = "float32"
    overrides: tuple[str, ...] = ()

    @property
    def words(self) -> list[str]:
        """The flags that both sides have."""
        return [f"--train={self.train}", f"--batch={self.batch}", f"--steps={self.steps}", f"--dtype={self.dtype}"]


def time_peer(peer: Peer, step: Step, timeout: float) -> dict[str, Any]:
    """Returns what the peer's process prints of its step.

    Raises:
      RunError: where it fails, takes longer than ``timeout`` seconds, or prints no time.
    """
    words = [peer.python, str(peer.script), f"--framework={peer.framework}", f"--model={step.model}", *step.words]
    words += [f"--device={step.device}", *(["--compile"] if peer.compiles else [])]
    printed = ask(words, timeout=timeout)
    if not isinstance(printed.get("median_s"), int | float) or not printed["median_s"] > 0:
        raise RunError(f"{peer.script} printed no median_s above 0")
    return printed


def time_own(step: Step, timeout: float) -> dict[str, Any]:
    """Returns what a process of tlj prints of the same step.

    Raises:
      InputError: for a step that tlj cannot take.
      RunError: where it fails otherwise, or takes longer than ``timeout`` seconds.
    """
    words = [*own_command(_OWN_STEP), f"--config={step.config}:{step.model}", *step.words]
    words += [f"--config.{override}" for override in step.overrides]
    return ask(words, environment=with_huge_pages(own_environment(JAX_PLATFORMS=step.device)), timeout=timeout)


def alternate(
    peer: Peer,
    step: Step,
    rounds: int,
    timeout: float,
    on_round: Callable[[str], None] = lambda line: None,
    seconds: float = math.inf,
) -> dict[str, Any]:
    """Times both in turns, the first of a round being the second of the next, and never both at a time.

    Args:
      peer: what tlj is compared with.
      step: that both take.
      rounds: of the two.
      timeout: seconds that one process may take.
      on_round: told a line about each.
      seconds: no round begins that would, at the pace of the last, end later than this; the first always does.

    Returns:
      ``peer`` and ``step`` (what was asked for), ``ratio`` (tlj's seconds by the peer's: ``median``, ``low`` and
      ``high`` over the rounds, and ``by_round``), ``own_s``, ``peer_s`` (medians), ``mfu`` (of tlj, by its median; None
      where the peak is not known), ``rounds`` (what was printed), and where and when.

    Raises:
      RunError: where a process fails.
    """
    versions = ask([peer.python, "-c", _VERSIONS], timeout=timeout)
    taken: list[dict[str, Any]] = []
    begin = ended = time.monotonic()
    for number in range(rounds):
        sides: dict[str, Callable[[], dict[str, Any]]] = {
            "peer": lambda: time_peer(peer, step, timeout),
            "own": lambda: time_own(step, timeout),
        }
        order = list(sides) if number % 2 == 0 else list(reversed(sides))
        both = {side: sides[side]() for side in order}
        ratio = both["own"]["median_s"] / both["peer"]["median_s"]
        taken.append({**both, "ratio": ratio})
        on_round(
            f"round {number + 1}: {peer.name} {both['peer']['median_s'] * 1e3:,.4g} ms, "
            f"tlj {both['own']['median_s'] * 1e3:,.4g} ms, ratio {ratio:.3f}"
        )
        last_s, ended = time.monotonic() - ended, time.monotonic()
        if ended + last_s > begin + seconds:
            break
    last = taken[-1]["own"]
    facts = {name: last[name] for name in ("date", "device", "platform", "device_count", "versions")}
    return {
        **facts,
        "cores": os.cpu_count(),
        "peer": {"name": peer.name, "versions": versions},
        "step": json.loads(json.dumps(dataclasses.asdict(step))),
        "ratio": spread_of([one["ratio"] for one in taken]),
        "own_s": statistics.median(one["own"]["median_s"] for one in taken),
        "peer_s": statistics.median(one["peer"]["median_s"] for one in taken),
        "mfu": statistics.median(one["own"]["mfu"] for one in taken) if last["mfu"] is not None else None,
        "rounds": taken,
    }


def spread_of(ratios: Sequence[float]) -> dict[str, Any]:
    """Returns the ``median``, the ``low``est and the ``high``est of ratios, and all of them ``by_round``."""
    return {
        "median": statistics.median(ratios),
        "low": min(ratios),
        "high": max(ratios),
        "by_round": list(ratios),
    }


def format_ratio(measured: Mapping[str, Any]) -> str:
    """Returns what ``alternate`` measured in a line, with the device and the date."""
    step, ratio = measured["step"], measured["ratio"]
    every = " ".join(f"{value:.3f}" for value in ratio["by_round"])
    mfu = "" if measured["mfu"] is None else f"; MFU {measured['mfu']:.1%}"
    return (
        f"{step['model']}, train {step['train']}, batch {step['batch']}, {step['dtype']}: tlj takes "
        f"{ratio['median']:.3f} of the time of {measured['peer']['name']} (median of {len(ratio['by_round'])} ratios "
        f"from {ratio['low']:.3f} to {ratio['high']:.3f}: {every}){mfu}; {measured['device']}, {measured['date']}"
    )
