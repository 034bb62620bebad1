"""Two processes with four devices each train the run that one process with eight, or with one device, trains."""

import signal
import time

import jax
import numpy as np
import pytest

from tests.contracts.runs import CONFIG, rows, train_words
from tests.processes import free_port
from tlj.pretrained.find_checkpoint import checkpoint_steps
from tlj.pretrained.restore import restore
from tlj.training.run_files import read_predictions

RUN = {
    "steps": 20,
    "evaluate": {"every": 10, "batch_size": 50},
    "checkpoint": {"every": 10},
    "log": {"every": 1},
    "optimizer": {"ema": 0.9, "learning_rate": 1e-3},
}
# Sharded leaves are spread over processes, too: none of them holds such a leaf whole.
WAYS = {"jit": {}, "pmap": {"parallel": {"mode": "pmap"}}, "fsdp": {"parallel": {"fsdp": 8}}}
WIDE = {"model": {"settings": {"width": 128, "heads": 2}}}


@pytest.fixture(scope="module")
def alone(processes, tmp_path_factory):
    """The directories of the run on one device and on eight, in one process."""
    folder, found = tmp_path_factory.mktemp("alone"), {}
    for devices in (1, 8):
        found[devices] = folder / str(devices)
        ended = processes.start(tlj=train_words(folder, found[devices], **RUN, **WIDE), devices=devices).wait()
        assert ended.code == 0, ended.stderr
    return found


def assert_near(workdir, expected):
    """Checks that two runs tell the same, but for the last bits, which depend on how sums are split."""
    ours, theirs = rows(workdir), rows(expected)
    assert [row["step"] for row in ours] == [row["step"] for row in theirs]
    for name in ("loss", "accuracy", "validation_loss", "validation_accuracy"):
        found, wanted = ([row[name] for row in some if name in row] for some in (ours, theirs))
        np.testing.assert_allclose(found, wanted, atol=1e-5, rtol=1e-5, err_msg=name)
    for name, (logits, labels) in read_predictions(workdir / "predictions.parquet").items():
        others = read_predictions(expected / "predictions.parquet")[name]
        np.testing.assert_allclose(logits, others[0], atol=2e-4)
        np.testing.assert_array_equal(labels, others[1])


def test_eight_devices_give_the_run_of_one(alone):
    assert_near(alone[8], alone[1])


@pytest.mark.parametrize("way", WAYS)
def test_two_processes_give_the_run_of_one(processes, alone, tmp_path, way):
    workdir = tmp_path / "run"
    words = train_words(tmp_path, workdir, **RUN, **WIDE, **WAYS[way])
    for ended in processes.together(2, tlj=words, devices=4, timeout=200):
        assert ended.code == 0, ended.stderr
    assert_near(workdir, alone[8])
    assert_near(workdir, alone[1])
    # The checkpoint of two processes is read by one.
    ours, theirs = restore(workdir), restore(alone[8])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3), ours, theirs)
    assert checkpoint_steps(workdir) == [10, 20]


def test_a_notice_to_one_process_ends_both_at_one_step_and_one_process_goes_on(processes, tmp_path):
    workdir = tmp_path / "run"
    long = {"steps": 100_000, "checkpoint": {"every": 1000}, "evaluate": {"every": 0}, "log": {"every": 5}}
    words = train_words(tmp_path, workdir, **long)
    started = processes.start_together(2, tlj=words, devices=2)
    started[0].wait_until(lambda: (workdir / "metrics.jsonl").exists() and len(rows(workdir)) > 2)
    begin = time.monotonic()
    started[1].kill(signal.SIGTERM)
    ended = [process.wait(60) for process in started]
    assert [one.code for one in ended] == [75, 75], [one.stderr for one in ended]
    assert time.monotonic() - begin < 25
    (step,) = checkpoint_steps(workdir)
    for one in ended:
        assert f"stopped at step {step} by SIGTERM" in one.stderr
    # The window that it falls into goes on after the restart.
    assert rows(workdir)[-1]["step"] == step - step % 5
    # On another topology: one process, one device.
    process = processes.start(tlj=words)
    process.wait_until(lambda: rows(workdir)[-1]["step"] > step)
    process.kill()
    process.wait()


def test_a_peer_that_never_comes_is_named(processes, tmp_path):
    words = train_words(tmp_path, tmp_path / "run")
    place = ["--coordinator=localhost:0", "--processes=2", "--process=0", "--peer-timeout=2"]
    ended = processes.start(tlj=[*words, *place]).wait(30)
    assert ended.code in (1, 2)
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "run").exists()


OTHERWISE = {
    "another rate": (["--config.optimizer.learning_rate=0.5"], "config.optimizer.learning_rate is 0.001 there and 0.5"),
    "no run at all": (["--dry-run"], "dry_run is False there and True here"),
}


@pytest.mark.parametrize("otherwise", OTHERWISE)
def test_processes_that_were_told_otherwise_train_nothing(processes, tmp_path, otherwise):
    more, told = OTHERWISE[otherwise]
    place = [f"--coordinator=localhost:{free_port()}", "--processes=2"]
    words = [*train_words(tmp_path, tmp_path / "run"), *place]
    first = processes.start(tlj=[*words, "--process=0"])
    ended = processes.start(tlj=[*words, "--process=1", *more]).wait(60)
    first.kill()
    assert ended.code == 2
    assert f"tlj: process 1 of 2: not what process 0 was given: {told}" in ended.stderr
    assert not (tmp_path / "run").exists()


def test_processes_that_have_other_data_train_nothing(processes, tmp_path):
    config = tmp_path / "config.py"
    model = {"family": "bert", "settings": {"width": 16, "depth": 1, "heads": 2, "positions": 8}}
    data = {"source": "tsv:t.tsv", "text": {"tokenizer": "."}}
    config.write_text(CONFIG.format(config={"model": model, "data": data, "strategy": "scratch", "steps": 4}))
    place, started = [f"--coordinator=localhost:{free_port()}", "--processes=2"], []
    for index in range(2):
        # At the same path, as on two machines with a disk each.
        folder = tmp_path / str(index)
        folder.mkdir()
        (folder / "t.tsv").write_text("text\tlabel\n" + "".join(f"a b\t{i % 2}\n" for i in range(80 + index)))
        (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n")
        words = ["train", f"--config={config}", f"--workdir={tmp_path}/run", f"--process={index}", *place]
        started.append(processes.start(tlj=words, folder=folder))
    ended = started[1].wait(60)
    started[0].kill()
    assert ended.code == 2, ended.stderr
    assert "tlj: process 1 of 2: not what process 0 was given: the hash of config, data and source is " in ended.stderr
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_processes_with_unequally_many_devices_are_told_so(processes, tmp_path):
    place, words = [f"--coordinator=localhost:{free_port()}", "--processes=2"], train_words(tmp_path, tmp_path / "run")
    started = [processes.start(tlj=[*words, *place, f"--process={i}"], devices=i + 1) for i in range(2)]
    for ended in (process.wait(60) for process in started):
        assert ended.code == 2
        assert "equally many devices, and process 0 has 1, process 1 has 2; give" in ended.stderr
    assert not (tmp_path / "run").exists()


def test_a_peer_that_dies_ends_the_other_with_a_line(processes, tmp_path):
    workdir = tmp_path / "run"
    words = train_words(tmp_path, workdir, steps=100_000, evaluate={"every": 0})
    started = processes.start_together(2, tlj=words, devices=2)
    started[0].wait_until(lambda: (workdir / "metrics.jsonl").exists() and len(rows(workdir)) > 1)
    started[1].kill(signal.SIGKILL)
    ended = started[0].wait(60)
    assert ended.code == 1
    assert "process 1 of 2 died" in ended.stderr
