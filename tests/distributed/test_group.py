"""Real processes that train together on this machine, with four CPU devices each."""

import signal

import pytest

from tlj.distributed import SAVED_AND_STOPPED

BEGIN = """
import os, pathlib, signal, sys, time, warnings
from tlj.distributed import *

warnings.simplefilter("ignore")
coordinator, processes, process = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

def work():
    join(Place(coordinator, processes, process), 60)
    import jax
    from jax.experimental import multihost_utils
    def together():
        return multihost_utils.process_allgather(jax.numpy.ones(1) * process).tolist()
"""
END = """
sys.exit(end_together(work))
"""


def script(body):
    return BEGIN + "".join(f"    {line}\n" for line in body.strip().splitlines()) + END


def test_two_processes_agree_and_their_devices_are_one_set(processes):
    program = script(
        """
assert is_main() == (process == 0) and process_count() == 2 and process_index() == process
for count in range(3):
    assert agree({"count": count, "from": process}) == {"count": count, "from": 0}
    if process == count % 2:
        time.sleep(0.1)
    mark = pathlib.Path(sys.argv[4], f"{process}.{count}")
    mark.touch()
    barrier("marked")
    assert len(list(mark.parent.glob(f"*.{count}"))) == 2
assert jax.device_count() == 8 and jax.local_device_count() == 4
assert together() == [[0.0], [1.0]]
return 0
"""
    )
    folder = processes.folder()
    for ended in processes.together(2, script=program, arguments=[folder], devices=4):
        assert (ended.code, ended.stderr) == (0, "")


@pytest.mark.parametrize("told", [(1,), (0, 1)])
def test_sigterm_to_any_process_stops_all_at_the_same_step(told, processes):
    program = script(
        """
with watch_for_preemption(60):
    step = 0
    while not stop_requested(step):
        step += 1
        together()
        if step == 20:
            print("under way", flush=True)
print("stopped at", step)
return 75
"""
    )
    started = processes.start_together(2, script=program)
    for process in started:
        process.wait_until(lambda process=process: "under way" in process.written())
    for process in told:
        started[process].kill(signal.SIGTERM)
    ended = [process.wait(60) for process in started]
    assert [end.code for end in ended] == [SAVED_AND_STOPPED] * 2, ended
    first, second = (end.stdout.partition("stopped at ")[2].split()[0] for end in ended)
    assert first == second


@pytest.mark.parametrize(("count", "dies"), [(2, 0), (3, 1)])
def test_when_a_process_is_killed_the_others_end_with_a_line_that_says_which(count, dies, processes):
    program = script(
        """
print("under way", flush=True)
while True:
    together()
"""
    )
    started = processes.start_together(count, script=program)
    for process in started:
        process.wait_until(lambda process=process: "under way" in process.written())
    started[dies].kill()
    for survivor in [process for index, process in enumerate(started) if index != dies]:
        ended = survivor.wait(30)
        # Where process 0 dies, JAX aborts the others in the same millisecond, and may be the first.
        assert ended.code == 1 or (dies == 0 and ended.code == -signal.SIGABRT)
        assert f"tlj: process {dies} of {count} died, or its machine did; this one stops too" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_an_error_of_one_process_ends_both_and_each_says_what_it_knows(processes):
    program = script(
        """
together()
if process == 1:
    raise ValueError("only here")
together()
"""
    )
    main, other = processes.together(2, script=program, timeout=60)
    assert (main.code, other.code) == (1, 1)
    assert "ValueError: only here" in other.stderr
    assert "process 1 of 2 stopped with an error, see what it wrote" in main.stderr
    assert "Traceback" not in main.stderr


def test_an_error_of_all_processes_keeps_its_exit_code(processes):
    main, other = processes.together(2, script=script("return 2"), timeout=60)
    assert main.code == 2
    assert other.code in (1, 2)
    assert "died" not in main.stderr + other.stderr


def test_processes_that_wait_at_different_places_have_come_apart(processes):
    ended = processes.together(2, script=script("barrier(f'place {process}')\nreturn 0"), timeout=60)
    assert [end.code for end in ended] == [1, 1]
    assert any("the processes have come apart" in end.stderr for end in ended)


def test_whoever_does_not_come_is_named_by_those_who_did(processes, tmp_path):
    config = tmp_path / "config.py"
    config.write_text("def get_config(arg=None):\n    return {}\n")
    words = ["train", f"--config={config}", f"--workdir={tmp_path / 'run'}", "--processes=2", "--peer-timeout=0.3"]
    for here, missing in ((0, "process 1 of 2 did not come to"), (1, "process 0 of 2 did not answer at")):
        ended = processes.start(tlj=[*words, "--coordinator=localhost:19999", f"--process={here}"]).wait(60)
        assert ended.code == 1
        waiting, error = ended.stderr.splitlines()
        assert waiting == "tlj: waiting for 2 processes at localhost:19999 (timeout 0.3 s)"
        assert error.startswith(f"tlj: {missing} localhost:19999 within 0.3 s; start every process")
    assert not (tmp_path / "run").exists()
