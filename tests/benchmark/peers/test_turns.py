"""Two sides in turns, with made-up processes."""

import json
import pathlib
import sys
import types

import pytest

from tlj.benchmark.children import ask
from tlj.benchmark.peers import __main__ as verb
from tlj.benchmark.peers import turns
from tlj.benchmark.peers.turns import Peer, Step, alternate, format_ratio, spread_of, time_peer
from tlj.errors import InputError, RunError

FACTS = {"date": "2026-11-22T08:00:00+00:00", "device": "cpu", "platform": "cpu", "device_count": 1, "versions": {}}
CONFIG = str(pathlib.Path(__file__).parents[3] / "configs" / "step_time.py")


@pytest.fixture
def peer(tmp_path):
    """A peer whose step takes 0.2 s, and which tells what it was asked for."""
    script = tmp_path / "peer.py"
    script.write_text("import json, sys\nprint('noise')\nprint(json.dumps({'words': sys.argv[1:], 'median_s': 0.2}))\n")
    return Peer(sys.executable, script, "torch")


@pytest.fixture
def own(monkeypatch):
    """Puts seconds in the place of tlj's own process, and keeps the order in which the sides came."""
    seconds, order, time_peer = [0.1, 0.4, 0.3], [], turns.time_peer

    def own_side(step, timeout):
        order.append("own")
        return {"median_s": seconds.pop(0), "mfu": None, **FACTS}

    def peer_side(*arguments):
        order.append("peer")
        return time_peer(*arguments)

    monkeypatch.setattr(turns, "time_own", own_side)
    monkeypatch.setattr(turns, "time_peer", peer_side)
    return order


def test_the_sides_take_turns_and_the_first_of_a_round_is_the_second_of_the_next(peer, own):
    told = []
    measured = alternate(peer, Step("configs/step_time.py", "vit_s16"), 3, 60, told.append)
    assert own == ["peer", "own", "own", "peer", "peer", "own"]
    assert measured["ratio"] == {
        "median": pytest.approx(1.5), "low": pytest.approx(0.5), "high": pytest.approx(2.0),
        "by_round": [pytest.approx(0.5), pytest.approx(2.0), pytest.approx(1.5)],
    }  # fmt: skip
    assert told[0] == "round 1: torch 200 ms, tlj 100 ms, ratio 0.500"
    line = format_ratio(measured)
    assert "tlj takes 1.500 of the time of torch (median of 3 ratios from 0.500 to 2.000: 0.500 2.000 1.500)" in line
    assert line.endswith("; cpu, 2026-11-22T08:00:00+00:00")
    assert json.loads(json.dumps(measured, allow_nan=False)) == measured


def test_the_median_of_ratios_is_not_the_ratio_of_medians(peer, own, monkeypatch):
    # Both are ten times as slow in the last two rounds.
    times = iter([1.0, 10.0, 10.0])
    monkeypatch.setattr(turns, "time_peer", lambda *_: {"median_s": next(times)})
    monkeypatch.setattr(turns, "time_own", lambda *_: {"median_s": next(own_times), "mfu": 0.5, **FACTS})
    own_times = iter([0.5, 5.0, 6.0])
    measured = alternate(peer, Step("c", "m"), 3, 60)
    assert (measured["ratio"]["median"], measured["own_s"], measured["peer_s"]) == (0.5, 5.0, 10.0)
    assert "MFU 50.0%" in format_ratio(measured)


def test_no_round_begins_that_would_end_too_late(peer, own, monkeypatch):
    # A round takes ten seconds.
    clock = iter([0.0, 10.0, 10.0, 20.0, 20.0])
    monkeypatch.setattr(turns, "time", types.SimpleNamespace(monotonic=lambda: next(clock)))
    measured = alternate(peer, Step("c", "m"), 3, 60, seconds=25.0)
    assert len(measured["rounds"]) == 2


def test_the_peer_is_asked_for_the_step(peer):
    step = Step("c", "bert_base", "last4", 256, 9, "cuda", "bfloat16", ("remat=none",))
    words = time_peer(Peer(peer.python, peer.script, "torch", compiles=True), step, 60)["words"]
    assert words == [
        "--framework=torch", "--model=bert_base", "--train=last4", "--batch=256", "--steps=9", "--dtype=bfloat16",
        "--device=cuda", "--compile",
    ]  # fmt: skip


def test_tlj_is_asked_for_the_same_step(monkeypatch):
    asked = {}
    monkeypatch.setattr(turns, "ask", lambda words, **how: asked.update(words=words, **how) or {})
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    turns.time_own(Step("c.py", "bert_base", "last4", 256, 9, "cuda", "bfloat16", ("remat=none",)), 60)
    assert asked["words"][2:] == [
        "tlj.benchmark.peers.own_step", "--config=c.py:bert_base", "--train=last4", "--batch=256", "--steps=9",
        "--dtype=bfloat16", "--config.remat=none",
    ]  # fmt: skip
    assert asked["environment"]["JAX_PLATFORMS"] == "cuda"
    monkeypatch.setenv("JAX_PLATFORMS", "rocm")
    turns.time_own(Step("c.py", "bert_base"), 60)
    assert asked["environment"]["JAX_PLATFORMS"] == "rocm"


def test_a_spread_is_from_the_lowest_to_the_highest():
    assert spread_of([3.0, 1.0, 2.0]) == {"median": 2.0, "low": 1.0, "high": 3.0, "by_round": [3.0, 1.0, 2.0]}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("raise ValueError('no such\\tmodel')", r"peer.py ended with 1: ValueError: no such\\tmodel"),
        ("print('{}')", "printed no median_s above 0"),
        ("print('done')", "peer.py printed no JSON in its last line"),
        ("print('[1]')", "peer.py printed no JSON object"),
        ("pass", "peer.py printed no JSON in its last line"),
        ("import time; time.sleep(60)", "peer.py took more than 0.5 s"),
    ],
)
def test_a_peer_that_fails_is_one_line(peer, text, problem):
    peer.script.write_text(text)
    with pytest.raises(RunError, match=problem):
        time_peer(peer, Step("c", "vit_s16"), 0.5 if "sleep" in text else 60)


def test_bad_input_of_tlj_in_a_process_is_bad_input_here(tmp_path):
    script = tmp_path / "ours.py"
    script.write_text("import sys\nprint('tlj: config.x: no', file=sys.stderr)\nsys.exit(2)\n")
    with pytest.raises(InputError, match="^config.x: no$"):
        ask([sys.executable, str(script)])


def test_mistakes_are_found_before_anything_is_measured(peer, monkeypatch, tmp_path):
    monkeypatch.setattr(verb, "alternate", lambda *_: pytest.fail("was measured"))
    good = [f"--peer-python={peer.python}", f"--peer-script={peer.script}", "--framework=torch", f"--config={CONFIG}"]
    for words, problem in (
        (["--peer-script=/no/where.py"], "--peer-script: no file /no/where.py"),
        (["--peer-python=no-such-python"], "--peer-python: no program no-such-python"),
        (["--model=vit_s17"], "unknown model 'vit_s17'; did you mean 'vit_s16'"),
        (["--rounds=0"], "--rounds: 0 rounds"),
        (["--timeout=0"], "--timeout: 0 seconds"),
        (["--model=resnet50", "--train=last4"], "--train: the peers have no last blocks"),
        (["--config.remat=some"], "config.remat: 'some'"),
        (["--framework=hf_flax", "--compile"], "--compile: hf_flax always compiles"),
        (["--config.remat"], "unexpected word '--config.remat'"),
        (["--modle=vit_s16"], "unexpected word '--modle=vit_s16'"),
        (["--framework=jax"], "argument --framework: invalid choice"),
        ([f"--json={tmp_path}/no/where.json"], "--json: no folder"),
    ):
        with pytest.raises(InputError) as error:
            verb.main([*good, *words])
        assert problem in str(error.value)


def test_the_ratio_of_every_round_is_printed_and_written(peer, own, capsys, tmp_path):
    words = [f"--peer-python={peer.python}", f"--peer-script={peer.script}", "--framework=torch", "--rounds=2"]
    verb.main([*words, f"--config={CONFIG}", "--model=minilm", f"--json={tmp_path}/ratio.json"])
    first, second, last = capsys.readouterr().out.splitlines()
    assert (first[:8], second[:8]) == ("round 1:", "round 2:")
    assert last.startswith("minilm, train all, batch 8, float32: tlj takes 1.250 of the time of torch")
    assert json.loads((tmp_path / "ratio.json").read_text())["ratio"]["median"] == pytest.approx(1.25)
