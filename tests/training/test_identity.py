"""What makes a run another run."""

import jax
import PIL.Image
import pytest

from tlj import config as configuration
from tlj.errors import InputError
from tlj.training.identity import decisive, for_devices, resolve_run, run_hash


def resolved(**data):
    return configuration.run_config(configuration.merge(configuration.default(), {"data": data}))


def hash_of_table(folder, text):
    folder.mkdir()
    (folder / "t.tsv").write_text(text)
    return resolve_run(resolved(source=f"tsv:{folder}/t.tsv"))["data"]["hash"]


def test_the_content_of_the_data_decides_wherever_it_lies(tmp_path):
    first = hash_of_table(tmp_path / "a", "text\tlabel\na b\t0\nc\t1\n")
    assert hash_of_table(tmp_path / "b", "text\tlabel\na b\t0\nc\t1\n") == first
    assert hash_of_table(tmp_path / "c", "text\tlabel\na b\t1\nc\t0\n") != first


@pytest.mark.parametrize("name", ["memory", "threads", "workers"])
def test_how_fast_examples_are_read_makes_no_other_run(name):
    assert run_hash(resolved(**{name: 3})) == run_hash(resolved())
    assert f"data.{name}" not in decisive(resolved())
    assert name in resolved()["data"]


def test_only_how_a_run_is_carried_out_makes_no_other_run():
    left_out = configuration.flatten(resolved()).keys() - decisive(resolved()).keys()
    assert left_out == {
        *("data.memory", "data.threads", "data.workers", "steps_per_call", "remat", "attention.kernel"),
        *("attention.softmax", "prng", "frozen_weights"),
        *("parallel.mode", "parallel.fsdp", "parallel.batch_per_device"),
        *("checkpoint.background", "checkpoint.deadline", "log.seconds", "log.tensorboard", "log.wandb"),
        *("evaluate.test", "evaluate.best", "evaluate.shifts"),
        *("cache.activations", "cache.views", "cache.disk_share"),
    }


@pytest.mark.parametrize("changed", [{"test": False}, {"best": True}, {"shifts": ("fog=digits",)}])
def test_a_key_that_older_runs_lack_makes_another_run_only_where_it_says_something_new(changed):
    now = resolved()
    before = {**now, "evaluate": {k: v for k, v in now["evaluate"].items() if k not in ("test", "best", "shifts")}}
    assert run_hash(now) == run_hash(before)
    assert run_hash({**now, "evaluate": {**now["evaluate"], **changed}}) != run_hash(before)


@pytest.mark.parametrize(
    ("changes", "other"),
    [
        ({"attention": {"kernel": "flash", "softmax": "float32"}}, False),
        ({"attention": {"kernel": "auto", "softmax": "compute"}}, True),
        ({"prng": "rbg"}, True),
    ],
)
def test_a_kernel_makes_no_other_run_and_a_softmax_or_a_generator_does(changes, other):
    before = {name: value for name, value in resolved().items() if name not in ("attention", "prng")}
    assert run_hash(resolved()) == run_hash(before)
    assert (run_hash({**resolved(), **changes}) != run_hash(before)) == other


@pytest.mark.parametrize(
    ("dtype", "cache", "other"),
    [
        ("float32", {"activations": "float32", "disk_share": 0.1}, False),
        ("bfloat16", {"activations": "bfloat16"}, False),
        ("float32", {"activations": "bfloat16"}, True),
        ("float32", {"activations": "float32", "views": 2}, True),
    ],
)
def test_cached_activations_make_another_run_where_they_are_rounded_or_are_of_views(dtype, cache, other):
    now = {**resolved(), "dtype": dtype}
    before = {key: value for key, value in now.items() if key != "cache"}
    assert run_hash(now) == run_hash(before)
    assert (run_hash({**now, "cache": {**now["cache"], **cache}}) != run_hash(before)) == other


@pytest.mark.parametrize("data", [{"test_fraction": 0.3}, {"balance": "loss"}, {"text": {"buckets": 3}}])
def test_what_decides_the_batches_does(data):
    assert run_hash(resolved(**data)) != run_hash(resolved())


def test_another_tokenizer_in_the_same_folder_makes_another_run(tmp_path):
    hashes = []
    for words in ("[PAD]\na\n", "[PAD]\nb\n"):
        (tmp_path / "vocab.txt").write_text(words)
        config = resolve_run(resolved(text={"tokenizer": str(tmp_path)}))
        hashes.append(config["data"]["tokenizer_hash"])
    assert hashes[0] != hashes[1]


def test_an_image_that_cannot_be_decoded_is_named_before_any_work(tmp_path):
    for name in ("a/0.png", "a/1.png", "b/0.png", "b/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        PIL.Image.new("RGB", (4, 4)).save(tmp_path / name)
    assert resolve_run(resolved(source=f"folder:{tmp_path}"))["data"]["hash"]
    broken = tmp_path / "b/1.png"
    broken.write_bytes(broken.read_bytes()[:40])
    # By another name, because a source is opened once.
    with pytest.raises(InputError, match="b/1.png: the image cannot be read"):
        resolve_run(resolved(source=f"folder:{tmp_path}/"))
    assert resolve_run(resolved(source=f"folder:{tmp_path}/", on_error="skip"))["data"]["hash"]


def test_data_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="unknown data source 'digit'"):
        resolve_run(resolved(source="digit"))


def on_devices(devices, monkeypatch, **changes):
    monkeypatch.setattr(jax, "device_count", lambda: devices)
    resolved = for_devices(configuration.run_config(configuration.merge(configuration.default(), changes)))
    return resolved["global_batch_size"], resolved["optimizer"]["learning_rate"], run_hash(resolved)


def test_batch_and_rate_depend_on_the_devices_only_where_the_config_says_so(monkeypatch):
    plain = {"global_batch_size": 32, "optimizer": {"learning_rate": 0.01}}
    assert on_devices(1, monkeypatch, **plain) == on_devices(8, monkeypatch, **plain)
    assert on_devices(8, monkeypatch, **plain)[:2] == (32, 0.01)
    assert on_devices(8, monkeypatch, **plain, parallel={"batch_per_device": 16})[:2] == (128, 0.01)
    scaled = {"global_batch_size": 32, "optimizer": {"learning_rate": 0.01, "reference_batch": 64}}
    assert on_devices(8, monkeypatch, **scaled)[:2] == (32, 0.005)
    assert on_devices(8, monkeypatch, **scaled, parallel={"batch_per_device": 16})[:2] == (128, 0.02)


def test_a_run_whose_batch_the_devices_make_is_the_run_with_these_numbers(monkeypatch):
    follows = {"optimizer": {"learning_rate": 0.01, "reference_batch": 64}, "parallel": {"batch_per_device": 16}}
    written_out = {"optimizer": {"learning_rate": 0.02}, "global_batch_size": 128}
    on_eight = on_devices(8, monkeypatch, **follows)
    assert on_devices(1, monkeypatch, **written_out) == on_eight
    assert on_devices(4, monkeypatch, **follows)[2] != on_eight[2]


@pytest.mark.parametrize("changes", [{"mode": "pmap"}, {"fsdp": 4}])
def test_how_a_run_is_spread_over_devices_makes_no_other_run(changes, monkeypatch):
    assert on_devices(4, monkeypatch, parallel=changes)[2] == on_devices(1, monkeypatch)[2]


def test_a_plan_says_how_many_devices_there_are_to_be():
    changes = {"parallel": {"batch_per_device": 16}, "optimizer": {"learning_rate": 0.01, "reference_batch": 64}}
    planned = for_devices(configuration.run_config(configuration.merge(configuration.default(), changes)), 16)
    assert (planned["global_batch_size"], planned["optimizer"]["learning_rate"]) == (256, 0.04)
