"""The figures of slices as text; every one that nobody measured is called predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tlj.benchmark.topology.price import FORMULA as PRICE_FORMULA

_GIB = 2.0**30


def format_topologies(planned: Mapping[str, Any]) -> str:
    """Returns the slices of a plan as text, with the formula and what it rests on."""
    parts = [format_topology(row) for row in planned["topologies"]]
    if "scaling" in planned:
        parts.append(_format_scaling(planned["scaling"], planned["topologies"][0]))
    rests = [planned["formula"], PRICE_FORMULA, *planned["assumptions"], _counted(planned["counted"])]
    parts.append("\n".join(["what is predicted rests on", *(f"  {line}" for line in [*rests, planned["not_counted"]])]))
    return "\n\n".join(["", *parts])


def format_topology(row: Mapping[str, Any]) -> str:
    """Returns the figures of one slice."""
    several = len(row["phases"]) > 1
    head = f"{row['name']}: {row['chips']:,} chips of {row['accelerator']}, {row['batch_per_chip']:,} examples per chip"
    lines = [f"{head}, {row['global_batch_size']:,} in all" + (f"; phase {row['phase']}" if several else "")]
    lines.append(_line("memory per chip", _memory(row)))
    lines.append(_line("largest batch", _largest(row)))
    if row["predicted_step_s"] is not None:
        lines += _predicted(row)
    if several:
        lines += [_line(f"phase {phase['phase']}", _phase(phase)) for phase in row["phases"]]
    return "\n".join(lines)


def _line(name: str, text: str) -> str:
    return f"  {name:<22}{text}"


def _memory(row: Mapping[str, Any]) -> str:
    usable = f"{row['usable_hbm_bytes'] / _GIB:.2f} GiB that a program may have of {row['chip_hbm_bytes'] / _GIB:.0f}"
    verdict = "fits" if row["fits"] else "DOES NOT FIT"
    parts = row["hbm"] and ", ".join(f"{name} {_memory_size(size)}" for name, size in row["hbm"].items())
    return f"{verdict}: {_memory_size(row['hbm_bytes'])}" + (f" ({parts})" if parts else "") + f" of {usable}"


def _memory_size(size: float) -> str:
    return f"{size / _GIB:.2f} GiB" if size >= _GIB / 10 else f"{size / 2**20:.1f} MiB"


def _largest(row: Mapping[str, Any]) -> str:
    tried = ", ".join(f"{batch:,}" for batch in row["max_batch_compiled"])
    if not row["max_batch_per_chip"]:
        return f"none of those compiled fits: {tried} per chip"
    more = "; more was not looked for" if row["max_batch_is_capped"] else ""
    return (
        f"{row['max_batch_per_chip']:,} per chip fit (multiples of 8 from 8 on; compiled: {tried}){more}: "
        f"{row['max_batch_flops_per_example'] / 1e9:,.2f} GFLOP an example, predicted "
        f"{row['max_batch_predicted_examples_per_s']:,.0f} examples/s"
    )


def _predicted(row: Mapping[str, Any]) -> list[str]:
    limits = {name.removesuffix("_s"): seconds * 1e3 for name, seconds in row["predicted_limits"].items()}
    told = ", ".join(f"{name} {ms:,.2f}" for name, ms in limits.items())
    lines = [
        _line(
            "a step, per chip",
            f"{row['flops_per_chip'] / 1e9:,.1f} GFLOP, {row['bytes_per_chip'] / 1e9:,.2f} GB from and to memory, "
            f"{row['all_reduce_bytes'] / 1e6:,.1f} MB in all-reduces, {row['sent_bytes'] / 1e6:,.1f} MB sent",
        ),
        _line(
            "an example",
            f"{row['flops_per_example'] / 1e9:,.2f} GFLOP, {row['bytes_per_example'] / 1e9:.3f} GB from and to memory, "
            f"{row['temporary_bytes_per_example'] / 1e6:,.1f} MB of temporaries",
        ),
        _line(
            "predicted step",
            f"{row['predicted_step_s'] * 1e3:,.2f} ms, bound by {row['bound']} (predicted ms: {told}; "
            f"in turn {row['predicted_step_in_turn_s'] * 1e3:,.2f})",
        ),
        _line("predicted speed", f"{row['predicted_examples_per_s']:,.0f} examples/s"),
    ]
    for what in ("run", "comparison"):
        lines.append(_line(f"predicted {what}", _cost(row[f"predicted_{what}"], row["price"])))
    return lines


def _cost(cost: Mapping[str, Any], price: Mapping[str, Any] | None) -> str:
    if cost["dollars"] is None:
        money = "no price of this chip: name a file that has it in config.prices"
    else:
        from_where = f"{price['source'] or 'no source given'}, {price['date'] or 'undated'}"
        money = f"predicted ${cost['dollars']:,.2f} at ${price['dollars_per_chip_hour']:.2f} a chip-hour ({from_where})"
    return f"{cost['steps']:,.0f} steps, {cost['hours']:,.2f} hours, {cost['chip_hours']:,.2f} chip-hours; {money}"


def _phase(phase: Mapping[str, Any]) -> str:
    memory = f"{'fits' if phase['fits'] else 'DOES NOT FIT'}, {_memory_size(phase['hbm_bytes'])}"
    if phase["predicted_step_s"] is None:
        return memory
    return (
        f"{memory}; {phase['flops_per_chip'] / 1e9:,.1f} GFLOP, {phase['bytes_per_chip'] / 1e9:,.2f} GB, "
        f"{phase['all_reduce_bytes'] / 1e6:,.1f} MB in all-reduces; predicted step "
        f"{phase['predicted_step_s'] * 1e3:,.2f} ms, bound by {phase['bound']}"
    )


def _counted(counted: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """What the comparison consists of."""
    told = []
    for share in counted["comparison"]:
        trials = f" and {share['trials']:,} trials" if share["trials"] else ""
        runs = f"{share['runs']:,} run{'s' * (share['runs'] != 1)}{trials}"
        told.append(f"{share['what']} {runs} of {share['steps']:,} steps, each worth {share['reference_steps']:,.0f}")
    return f"the comparison, in steps of the compiled phase: {'; '.join(told)}"


def _format_scaling(scaling: Mapping[str, Sequence[Mapping[str, Any]]], first: Mapping[str, Any]) -> str:
    titles = {
        "weak": f"weak scaling, {first['batch_per_chip']:,} examples per chip as on {first['name']}",
        "strong": f"strong scaling, {first['global_batch_size']:,} examples in all as on {first['name']}",
    }
    header = (
        "topology",
        "chips",
        "per chip",
        "predicted step",
        "bound",
        "predicted examples/s",
        "predicted efficiency",
    )
    parts = []
    for kind, title in titles.items():
        rows = [(*header, "in turn"), *(_scaling_cells(row) for row in scaling[kind])]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        parts.append("\n".join([title, *(f"  {line}" for line in table)]))
    return "\n\n".join(parts)


def _scaling_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    start = (row["name"], f"{row['chips']:,}", f"{row['batch_per_chip'] or '-'}")
    if row["predicted_step_s"] is None:
        return (*start, "does not divide" if row["batch_per_chip"] is None else "does not fit", *["-"] * 4)
    shares = (row["predicted_efficiency"], row["predicted_efficiency_in_turn"])
    return (
        *start,
        f"{row['predicted_step_s'] * 1e3:,.2f} ms",
        row["bound"],
        f"{row['predicted_examples_per_s']:,.0f}",
        *("-" if share is None else f"{share:.1%}" for share in shares),
    )
