"""What ``launch/bench_gpu.sh`` measured, as one table: beside the peers, beside ``full``, and by attention kernel.

``python -m tlj.benchmark.gpu_report DIR`` prints it from the JSON files in DIR, and says which parts are missing.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tlj.benchmark.bench.table import aligned, milliseconds
from tlj.benchmark.command import command, exit_code
from tlj.errors import InputError

# A step is to take at most this share of a compiled peer's time, and to use at least this share of the device's peak.
MOST_TIME, LEAST_MFU = 0.9, {"vit_b16": 0.5, "bert_base": 0.5, "resnet50": 0.25}
# How far the time of a part of the training, relative to all of it, may be above that of its FLOPs.
MOST_ABOVE_FLOPS = 0.1


def read_parts(folder: pathlib.Path) -> dict[str, Any]:
    """Returns the JSON of every part by its name, and under ``parts`` how each ended.

    Args:
      folder: that the script wrote to.

    Raises:
      InputError: where there is none, or nothing in it.
    """
    if not (folder / "parts.tsv").is_file():
        raise InputError(f"no measurements in {folder}", where="DIR", do="give the folder of launch/bench_gpu.sh")
    lines = (folder / "parts.tsv").read_text(encoding="utf-8").splitlines()
    parts = [dict(zip(("name", "code", "seconds"), line.split("\t"), strict=True)) for line in lines]
    files = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))}
    return {"parts": parts, **files}


def format_report(found: Mapping[str, Any], logs: Mapping[str, str]) -> str:
    """Returns the parts as text.

    Args:
      found: what ``read_parts`` returned.
      logs: the last line of the log of each part, for those that failed.
    """
    facts = found.get("facts", {})
    versions = " ".join(f"{name} {version}" for name, version in facts.get("versions", {}).items())
    lines = [f"{facts.get('device', 'unknown device')}, {facts.get('date', 'unknown date')}", versions]
    for title, table in (("beside the peer", _peers(found)), ("beside full", _strategies(found)),
                         ("by attention kernel", _kernels(found))):  # fmt: skip
        if len(table) > 1:
            lines += ["", f"{title}:", *aligned(table)]
    for part in found["parts"]:
        if part["code"] != "0":
            why = {"124": "its time was up", "left out": "left out"}.get(part["code"], f"exit code {part['code']}")
            lines.append(f"missing: {part['name']}, {why}: {logs.get(part['name'], '')}".rstrip(": "))
    return "\n".join(lines)


def _of(found: Mapping[str, Any], kind: str) -> list[tuple[str, Mapping[str, Any]]]:
    """The parts of a kind, by what follows its name."""
    start = f"{kind}-"
    return [(name.removeprefix(start), part) for name, part in found.items() if name.startswith(start)]


def _met(is_met: bool) -> str:
    return "met" if is_met else "missed"


def _peers(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    table = [("model", "peer", "batch", "type", "peer's step", "tlj's step", "ratio", "lowest to highest", "rounds",
              f"at most {MOST_TIME}", "MFU", "at least")]  # fmt: skip
    for model, part in _of(found, "peer"):
        ratio, mfu, step, least = part["ratio"], part["mfu"], part["step"], LEAST_MFU.get(model)
        table.append((
            model, part["peer"]["name"], str(step["batch"]), step["dtype"], f"{milliseconds(part['peer_s'])} ms",
            f"{milliseconds(part['own_s'])} ms", f"{ratio['median']:.3f}", f"{ratio['low']:.3f} to {ratio['high']:.3f}",
            str(len(ratio["by_round"])), _met(ratio["median"] <= MOST_TIME), "-" if mfu is None else f"{mfu:.1%}",
            "-" if mfu is None or least is None else f"{least} {_met(mfu >= least)}",
        ))  # fmt: skip
    return table


def _strategies(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    table = [("model", "strategy", "batch", "step", "MFU", "time", "FLOPs", "time/FLOPs", f"+{MOST_ABOVE_FLOPS:.0%}")]
    for model, part in _of(found, "bench"):
        for row in part["rows"]:
            above = row["relative_time"] / row["relative_flops"]
            table.append((
                model, row["strategy"], str(row["batch"]), f"{milliseconds(row['median_s'])} ms",
                "-" if row["mfu"] is None else f"{row['mfu']:.1%}", f"{row['relative_time']:.3f}",
                f"{row['relative_flops']:.3f}", f"{above:.2f}",
                "-" if row["strategy"] == "full" else _met(above <= 1 + MOST_ABOVE_FLOPS),
            ))  # fmt: skip
    return table


def _kernels(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    table = [("kernel", "step", "MFU")]
    for kernel, part in _of(found, "attention"):
        mfu = "-" if part["mfu"] is None else f"{part['mfu']:.1%}"
        table.append((kernel, f"{milliseconds(part['median_s'])} ms", mfu))
    return table


def main(argv: Sequence[str]) -> None:
    """Reads the folder and prints the table."""
    words = command("tlj.benchmark.gpu_report", __doc__)
    words.add_argument("folder", metavar="DIR", type=pathlib.Path)
    arguments, _ = words.take(argv)
    found = read_parts(arguments.folder)
    logs = {}
    for part in found["parts"]:
        log = arguments.folder / f"{part['name']}.log"
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.is_file() else []
        logs[part["name"]] = lines[-1][:300] if lines else ""
    print(format_report(found, logs), flush=True)


if __name__ == "__main__":
    raise SystemExit(exit_code(main))
