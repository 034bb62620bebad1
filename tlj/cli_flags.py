"""The flags of the verbs of the command line: the words, and what each means."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

FLAGS = {
    "--config": dict(metavar="FILE[:ARG]", help="configuration file, always needed; ARG goes to its get_config"),
    "--workdir": dict(metavar="DIR", help="folder of the run files, short for --config.workdir=DIR"),
    "--json": dict(action="store_true", help="print JSON"),
    "--dry-run": dict(
        action="store_true", help="compile, show memory, FLOPs and shapes, take two steps, validate, and write nothing"
    ),
    "--no-compile-cache": dict(
        action="store_true", help="compile every program anew; else they are kept in $TLJ_CACHE/compiled"
    ),
}
PRICES = {"--prices": dict(metavar="FILE", type=pathlib.Path, help="TOML file of prices; else DIR/prices.toml")}
REPORT = {
    **PRICES,
    "--across": dict(
        metavar="DIR,...", default="", help="comparisons on other data, to be told together in DIR/across.html"
    ),
}
ADVISE = {
    "--label-cost": dict(metavar="DOLLARS", type=float, help="price of a label by one worker; else as the prices say"),
    "--workers-per-label": dict(metavar="N", type=float, help="workers who label each example; else as the prices say"),
    "--budget": dict(metavar="DOLLARS", type=float, help="dollars in total, for labels and training"),
    "--target": dict(metavar="VALUE", type=float, help="value of the judged metric to reach, such as 0.9"),
    **PRICES,
}
STEP = dict(default="latest", help="of a run: latest (default), best (by its checkpoint.metric) or a number")
EXPORT = {
    "--to": dict(metavar="DIR", type=pathlib.Path, help="folder of the files, new or empty, always needed"),
    "--format": dict(
        default="huggingface",
        help="huggingface (default), torch (a ResNet under torchvision's names) or stablehlo (runs without tlj)",
    ),
    "--step": STEP,
}
_DATA = dict(metavar="SOURCE", help="data, such as folder:PATH, short for --config.data.source=SOURCE")
AUDIT = {
    "--config": dict(metavar="FILE[:ARG]", help="configuration file; without one, the defaults"),
    "--data": _DATA,
    "--to": dict(metavar="DIR", type=pathlib.Path, default=pathlib.Path("audit"), help="folder of the page (audit)"),
    "--strict": dict(action="store_true", help="exit with 1 where the test leaks into the training part"),
    "--json": dict(action="store_true", help="print JSON"),
}
PLAN = {
    "--topology": dict(
        metavar="SLICE,...",
        help="also compile the step for TPUs that are not there, such as v5e:4x4 or v5e:4x4,v5e:8x8, and predict from "
        "that memory, time and price; needs tlj[tpu]",
    )
}
PREDICT = {
    "--config": AUDIT["--config"],
    "--data": _DATA,
    "--split": dict(metavar="NAME", default="", help="of the data, such as test or train[:80%%]; by default all of it"),
    "--to": dict(
        metavar="FILE",
        type=pathlib.Path,
        default=pathlib.Path("predictions.parquet"),
        help="file to write, a new one (predictions.parquet)",
    ),
    "--step": STEP,
    "--json": dict(action="store_true", help="print JSON"),
}
BENCH = {
    "--strategies": dict(metavar="A,B,...", help="what is measured beside full; by default the config's own strategy"),
    "--input-only": dict(action="store_true", help="measure input alone: reading, decoding, tokenising, batching"),
    "--data": {**_DATA, "action": "append", "help": "data to read, with --input-only; may be given several times"},
    "--overhead": dict(
        action="store_true", help="measure the training loop beside its compiled step, and nothing else"
    ),
    "--checkpoint": dict(
        action="store_true", help="measure how long a checkpoint of 100 M parameters blocks the loop, on workdir's disk"
    ),
    "--batches": dict(metavar="N,...", help="global batches to measure in turn; by default the config's own"),
    "--scaling": dict(
        metavar="N,...", help="numbers of devices to measure, each in a process; on a CPU simulated: growth, not speed"
    ),
    "--profile": dict(metavar="DIR", type=pathlib.Path, help="a new folder, for a trace of a few steps per phase"),
    "--plots": dict(metavar="DIR", type=pathlib.Path, help="also draw what was measured, as PNG and PDF"),
    "--compare": dict(
        metavar="FILE", type=pathlib.Path, help="say what changed beyond noise since this earlier --json=FILE"
    ),
    "--windows": dict(metavar="N", type=int, default=5, help="windows of steps per program (5)"),
    "--json": dict(metavar="FILE", type=pathlib.Path, help="also write the measurements to FILE"),
}
RATES = {
    "--lowest": dict(metavar="RATE", type=float, default=1e-6, help="learning rate of the first step (1e-6)"),
    "--highest": dict(metavar="RATE", type=float, default=1.0, help="learning rate of the last (1)"),
    "--steps": dict(
        metavar="N", type=int, default=100, help="steps of the test, unless the loss diverges sooner (100)"
    ),
}
# Where several processes train together and no cluster says which one this is.
PROCESSES = {
    "--coordinator": dict(metavar="HOST:PORT", help="where process 0 of several listens; a cluster says it by itself"),
    "--processes": dict(metavar="N", type=int, help="how many processes train together"),
    "--process": dict(metavar="I", type=int, help="which of them this one is, from 0"),
    "--peer-timeout": dict(
        metavar="SECONDS", type=float, default=300.0, help="how long to wait for the others at the start (300)"
    ),
    "--single-process": dict(action="store_true", help="train in this process alone, whatever a cluster says"),
}
SWEEP = {
    "--verb": dict(
        metavar="VERB", dest="members", default="train", help="what each member is: train (default) or compare"
    ),
    "--workers": dict(
        metavar="N",
        type=int,
        default=1,
        help="members at a time (1); with CUDA_VISIBLE_DEVICES=0,1,... each gets an accelerator of its own",
    ),
}


def take(*names: str) -> dict[str, Mapping]:
    """Returns flags that several verbs have."""
    return {name: FLAGS[name] for name in names}
