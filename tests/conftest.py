"""What every test shares: a compile cache kept between test runs, a tiny config, and one comparison made with it."""

import os
import pathlib
import sys
import types

import pytest

# Read by JAX when it is first imported, which is after this file.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(__file__).parent.parent / ".jax_cache"))
# Tiny programs compile fast and there are many of them, so every one is worth keeping.
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")


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
