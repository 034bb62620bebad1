import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlj.distributed.place import PORT, Place, find_place
from tlj.errors import InputError


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    for name in ("JAX_COORDINATOR_ADDRESS", "JAX_COORDINATOR_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("tlj.distributed.clusters.detect_place", lambda coordinator: None)


def test_the_flags_say_which_process_this_is():
    assert find_place("node1:9000", 4, 3) == Place("node1:9000", 4, 3)


def test_a_port_has_a_default(monkeypatch):
    assert find_place("node1", 2, 0).coordinator == f"node1:{PORT}"
    monkeypatch.setenv("JAX_COORDINATOR_PORT", "1234")
    assert find_place("[fe80::1]", 2, 0).address == ("fe80::1", 1234)


def test_the_coordinator_may_come_from_the_variable_of_jax(monkeypatch):
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "node7:9000")
    assert find_place(None, 2, 1) == Place("node7:9000", 2, 1)


def test_without_flags_and_cluster_a_process_is_alone():
    assert find_place() is None


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        (("node1", None, None), "no --processes and no --process"),
        (("node1", 2, None), "no --process,"),
        ((None, 2, 0), "no --coordinator"),
        ((None, None, 0), "no --coordinator and no --processes"),
    ],
)
def test_half_a_place_is_refused_with_what_is_missing(given, missing):
    with pytest.raises(InputError, match=missing):
        find_place(*given)


@pytest.mark.parametrize(
    "coordinator", ["node1:", ":9000", "node1:port", "node1:0", "node1:65536", "fe80::1:9000", "a:٣"]
)
def test_what_is_no_address_is_refused(coordinator):
    with pytest.raises(InputError, match="is no HOST:PORT"):
        find_place(coordinator, 2, 0)


@settings(derandomize=True, deadline=None)
@given(processes=st.integers(-2, 5), process=st.integers(-2, 6))
def test_a_process_is_one_of_those_there_are(processes, process):
    if 0 <= process < processes:
        assert find_place("node1", processes, process) == Place(f"node1:{PORT}", processes, process)
    else:
        with pytest.raises(InputError, match="process"):
            find_place("node1", processes, process)


def test_flags_win_over_what_the_cluster_says(monkeypatch):
    told = Place("node1:9000", 8, 5, (1,), "SLURM")
    monkeypatch.setattr("tlj.distributed.clusters.detect_place", lambda coordinator: told)
    assert find_place("node2:9000") == Place("node2:9000", 8, 5, (1,), "SLURM")
    assert find_place(None, 2, 1) == Place("node1:9000", 2, 1, (1,), "SLURM")
    assert find_place() == told


def test_a_cluster_of_one_process_has_nobody_to_wait_for(monkeypatch):
    monkeypatch.setattr("tlj.distributed.clusters.detect_place", lambda coordinator: Place("node1:9000", 1, 0))
    assert find_place() is None


def test_detection_can_be_switched_off(monkeypatch):
    monkeypatch.setattr("tlj.distributed.clusters.detect_place", lambda coordinator: Place("node1:9000", 8, 5))
    assert find_place(detect=False) is None
    with pytest.raises(InputError, match="single process has no peers"):
        find_place("node1", detect=False)
