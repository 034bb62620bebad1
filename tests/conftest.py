"""What every test shares: a compile cache kept between test runs, a tiny config, and one comparison made with it."""

import contextlib
import functools
import gc
import importlib.metadata
import json
import operator
import os
import pathlib
import signal
import sys
import types

import hypothesis
import pytest

# The same examples in every run, and no limit of time: a busy machine is no failure.
hypothesis.settings.register_profile("tlj", deadline=None, derandomize=True)
hypothesis.settings.load_profile("tlj")

# A shell lets what it starts in the background ignore Ctrl-C, and so would every process that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Read by JAX when it is first imported, which is after this file.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(__file__).parent.parent / ".jax_cache"))
# Tiny programs compile fast and there are many of them, so every one is worth keeping.
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")
# Programs that run for a millisecond are not worth what LLVM spends on them, two fifths of all time. What XLA makes of
# a program (its FLOPs, its collectives, its memory) is the same.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# The emitters of fusions by way of MLIR are most of what is left of a compilation (BUILD_NOTES.md, Traps met); 0.11 has
# no such flag, and one that XLA does not know ends the process.
if importlib.metadata.version("jaxlib").startswith("0.10."):
    os.environ["XLA_FLAGS"] = f"--xla_cpu_use_fusion_emitters=false {os.environ.get('XLA_FLAGS', '')}"

# Traces and modules are millions of objects that live long, and looking through them all takes long.
gc.set_threshold(200_000, 50, 50)


TINY = {
    "model": {
        "family": "vit",
        "source": "source",
        "settings": {"patch_size": 4, "width": 16, "depth": 2, "heads": 2, "dropout": 0.1},
    },
    "data": {"source": "digits:5-9", "augment": {"shift": 1}},
    "pretrain": {"data": {"source": "digits:0-4"}, "steps": 30},
    "arms": ("scratch", "linear_probe", "last_blocks:1", "full", "full@mean_var"),
    "label_budgets": (10, 40),
    "seeds": (0, 1, 2),
    "steps": 24,
    "global_batch_size": 16,
    "log": {"every": 8},
    "evaluate": {"every": 12},
    "experiments": {"workers": 2},
    "optimizer": {"weight_decay": 0.1, "warmup": "4 steps"},
}


@pytest.fixture(scope="session", autouse=True)
def _cache_of_data(tmp_path_factory):
    """What is kept of data between processes lies in a folder of this test run, also for the processes it starts."""
    from tlj.data.cache import VARIABLE

    os.environ[VARIABLE] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def processes(tmp_path_factory):
    """Starts real processes, see ``processes.py``: ``processes.together(2, script=TEXT, devices=4)``."""
    from tests.processes import Processes

    with contextlib.closing(Processes(tmp_path_factory.mktemp("processes"))) as started:
        yield started


@pytest.fixture(scope="session")
def shared_data():
    """Finds a real input beside the project: ``shared_data("pretrained/NAME")``; skips the test where it is absent."""
    root = pathlib.Path(__file__).parents[2] / "shared"

    def find(path):
        if not (root / path).exists():
            pytest.skip(f"no ../shared/{path} beside the project")
        return root / path

    return find


@pytest.fixture(scope="session")
def tiny_config():
    """Builds the config of a tiny comparison on real digits, with changes: ``tiny_config(workdir, steps=5)``."""
    from tlj import config as configuration

    def make(workdir, **changes):
        config = configuration.merge(configuration.default(), {**TINY, "workdir": str(workdir)})
        return configuration.merge(config, changes) if changes else config

    return make


@pytest.fixture(scope="session")
def comparison(tiny_config, tmp_path_factory):
    """The workdir of a whole tiny comparison, trained once, and what was compiled for it by name."""
    import jax

    from tlj.experiments.compare import compare
    from tlj.training.programs import count_compilations

    # Whatever tests ran before, this comparison starts like a fresh process.
    jax.clear_caches()
    with count_compilations() as compiled:
        workdir = compare(tiny_config(tmp_path_factory.mktemp("comparison")), "tlj compare --config=tiny.py")
    return workdir, compiled


@pytest.fixture(scope="session")
def retell():
    """Changes what a checkpoint says of itself, as if it had been written so: ``retell(folder, about__config={})``."""
    from tlj.pretrained.inventory import MARK, take_inventory

    def change(checkpoint, **values):
        content = json.loads((checkpoint / MARK).read_text())
        for name, value in values.items():
            *inside, last = name.split("__")
            functools.reduce(operator.getitem, inside, content["custom_metadata"])[last] = value
        (checkpoint / MARK).write_text(json.dumps(content))
        take_inventory(checkpoint, content["custom_metadata"])

    return change


@pytest.fixture
def config_file(tmp_path):
    """A configuration of five steps, on disk."""
    path = tmp_path / "config.py"
    path.write_text("def get_config(arg=None):\n    return {'steps': 5}\n")
    return str(path)


class StandIns:
    """Functions in place of those behind the verbs: what they return or raise is set here, what they got is kept."""

    def __init__(self, monkeypatch, folder):
        self.calls = []
        (folder / "summary.json").write_text('{"answer": "Transfer: it helps."}')
        self.results = {
            "tlj.experiments.compare": {
                "compare": pathlib.Path("runs/a"),
                "train": pathlib.Path("runs/one"),
            },
            "tlj.evidence.report": {"write_report": folder / "report.html"},
            "tlj.benchmark.plan": {"plan": {"phases": []}, "format_plan": "a plan"},
            "tlj.benchmark.bench": {"bench": {"rows": []}, "format_bench": "a table"},
            "tlj.benchmark.overhead": {
                "measure_overhead": {"overhead_s": 0.001},
                "checkpoint_time": {"blocked_s": 0.1},
                "format_overhead": "an overhead",
                "format_checkpoint_time": "a checkpoint",
            },
            "tlj.experiments.dry_run": {
                "dry_run_train": [("full", {"steps": 2})],
                "dry_run_compare": [("scratch", {"steps": 2}), ("full", {"steps": 2})],
            },
            "tlj.training.dry_run_text": {"format_dry_run": "a dry run"},
            "tlj.training.rate_finder": {"find_rate": {"losses": [1.0]}},
            "tlj.training.rate_finder_text": {"format_rates": "a curve"},
            "tlj.training.inspection": {"inspect_run": {"step": 5}},
            "tlj.training.inspection_text": {"format_inspection": "a run"},
            "tlj.pretrained.load": {"load": "a model"},
            "tlj.pretrained.export.export": {"check_export": None, "export": ["out/config.json"]},
        }
        for module, functions in self.results.items():
            stand_in = types.ModuleType(module)
            for name in functions:
                setattr(stand_in, name, self.function(module, name))
            monkeypatch.setitem(sys.modules, module, stand_in)

    def function(self, module, name):
        def call(*arguments, **options):
            self.calls.append((name, *arguments, *([options] if options else [])))
            result = self.results[module][name]
            if isinstance(result, BaseException):
                raise result
            return result

        return call


@pytest.fixture
def stand_ins(monkeypatch, tmp_path):
    """Stand-ins for what the verbs of the command line call."""
    return StandIns(monkeypatch, tmp_path)
