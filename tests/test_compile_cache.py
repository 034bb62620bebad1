"""Compiled programs are kept between processes, and nothing that happens to them stops or changes a run."""

import os
import pathlib
import subprocess
import sys
import warnings

import jax
import jax.numpy as jnp
import pytest
from jax import monitoring
from jax.experimental.compilation_cache import compilation_cache

from tlj.compile_cache import MAX_BYTES, drop_unfinished, keep_compiled, keep_nothing, machine_kind
from tlj.data.cache import VARIABLE

SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_compilation_cache_max_size",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_enable_compilation_cache",
)
PROGRAM = """
import jax, jax.numpy as jnp
from jax import monitoring
from tlj.compile_cache import keep_compiled
seen = []
monitoring.register_event_listener(lambda event, **_: seen.append(event.rpartition("/")[2]))
keep_compiled()
print(jax.jit(lambda x: jnp.tanh(x) @ x)(jnp.eye(3)).sum(), seen.count("cache_hits"), seen.count("cache_misses"))
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    """The folder of an empty cache that JAX knows nothing of; JAX's own settings are put back at the end."""
    before = {name: getattr(jax.config, name) for name in SETTINGS}
    for name in SETTINGS:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    jax.config.update("jax_compilation_cache_dir", None)
    jax.config.update("jax_compilation_cache_max_size", -1)
    compilation_cache.reset_cache()
    with warnings.catch_warnings():
        yield tmp_path / "compiled"
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture
def hits():
    """The hits and misses of the cache, in order."""
    seen = []

    def note(event, **_):
        if event.endswith(("cache_hits", "cache_misses")):
            seen.append(event.rpartition("_")[2])

    monitoring.register_event_listener(note)
    yield seen
    monitoring.unregister_event_listener(note)


def compile_something(scale=2.0):
    """Compiles a program, as a process does that has not seen it before."""

    def something(x):
        return jnp.tanh(x) @ x * scale

    return float(jax.jit(something).lower(jax.ShapeDtypeStruct((3, 3), "float32")).compile()(jnp.eye(3)).sum())


def test_a_program_is_kept_in_a_folder_that_only_the_user_can_write_to(root, hits):
    folder = keep_compiled()
    assert folder == root / machine_kind()
    assert folder.stat().st_mode & 0o777 == 0o700
    first = compile_something()
    compilation_cache.reset_cache()
    assert compile_something() == first
    assert hits[0] == "misses"
    assert hits[-1] == "hits"
    assert list(folder.glob("jit_something-*-cache"))
    assert jax.config.jax_compilation_cache_max_size == MAX_BYTES


def test_processes_that_start_together_share_the_cache_and_print_nothing_of_it(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    command = dict(env={**environment, VARIABLE: str(tmp_path)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def start():
        return subprocess.Popen([sys.executable, "-c", PROGRAM], text=True, **command)

    together = [start() for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in together]
    later, errors = start().communicate(timeout=120)
    result, hit, missed = later.split()
    assert (int(hit) > 0, int(missed)) == (True, 0)
    for output, complaint in [*outputs, (later, errors)]:
        assert output.split()[0] == result
        assert complaint == ""


@pytest.mark.parametrize("damage", [lambda whole: whole[: len(whole) // 2], lambda whole: b"", lambda whole: b"x" * 99])
def test_a_damaged_program_is_compiled_again_and_replaced_without_a_word(root, hits, damage, recwarn):
    folder, first = keep_compiled(), compile_something()
    [kept] = folder.glob("jit_something-*-cache")
    whole = kept.read_bytes()
    kept.write_bytes(damage(whole))
    compilation_cache.reset_cache()
    assert compile_something() == first
    assert len(kept.read_bytes()) == pytest.approx(len(whole), abs=64)
    compilation_cache.reset_cache()
    compile_something()
    assert hits[-1] == "hits"
    assert not recwarn.list


def test_what_a_killed_process_has_left_half_written_is_dropped_at_the_next_start(root):
    folder = keep_compiled()
    compile_something()
    torn = folder / "jit_torn-0123-cache"
    torn.write_bytes(b"half of it")
    kept = set(folder.glob("jit_something-*"))
    drop_unfinished(folder)
    assert not torn.exists()
    assert set(folder.glob("jit_something-*")) == kept


def test_a_program_torn_by_another_process_meanwhile_does_not_keep_others_from_being_written(root):
    folder = keep_compiled()
    (folder / "jit_torn-0123-cache").write_bytes(b"half of it")
    compile_something(3.0)
    assert not (folder / "jit_torn-0123-cache").exists()
    compile_something(4.0)
    assert list(folder.glob("jit_something-*-cache"))


def test_the_cache_does_not_outgrow_its_limit(root, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_MAX_SIZE", "6000")
    jax.config.update("jax_compilation_cache_max_size", 6000)
    folder = keep_compiled()
    for scale in range(4):
        compile_something(float(scale))
    sizes = [program.stat().st_size for program in folder.glob("*-cache")]
    assert sizes
    assert sum(sizes) <= 6000


def test_a_folder_that_cannot_be_made_is_no_error(root, monkeypatch):
    root.parent.joinpath("file").write_text("")
    monkeypatch.setenv(VARIABLE, str(root.parent / "file"))
    assert keep_compiled() is None
    assert jax.config.jax_compilation_cache_dir is None
    compile_something()


@pytest.mark.parametrize("mode", [0o770, 0o702])
def test_programs_are_not_taken_from_a_folder_that_others_can_write_to(root, mode):
    folder = root / machine_kind()
    folder.mkdir(parents=True)
    folder.chmod(mode)
    with pytest.warns(UserWarning, match="not kept: .* can be written to by others; set JAX_COMPILATION_CACHE_DIR"):
        assert keep_compiled() is None
    assert jax.config.jax_compilation_cache_dir is None


def test_what_the_environment_says_of_the_cache_is_left_as_it_is(root, monkeypatch):
    jax.config.update("jax_compilation_cache_dir", str(root / "own"))
    assert keep_compiled() == root / "own"
    assert jax.config.jax_compilation_cache_max_size == -1
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    assert keep_compiled() is None
    assert not root.exists()


def test_with_the_flag_nothing_is_kept_and_nothing_taken(root, hits):
    folder = keep_compiled()
    keep_nothing()
    compile_something()
    assert hits == []
    assert not list(pathlib.Path(folder).glob("*-cache"))


def test_machines_of_another_kind_have_a_folder_of_their_own(monkeypatch):
    here = machine_kind()
    assert machine_kind() == here
    monkeypatch.setenv("NPROC", "31")
    other_threads = machine_kind()
    monkeypatch.setattr("platform.processor", lambda: "another")
    assert len({here, other_threads, machine_kind()}) == 3
