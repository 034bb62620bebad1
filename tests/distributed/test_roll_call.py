import concurrent.futures
import contextlib
import socket
import time

import pytest

from tests.processes import free_port
from tlj.distributed.place import Place
from tlj.distributed.roll_call import assemble
from tlj.errors import InputError


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def attend():
    """Sends processes, here threads, to the roll call, and returns what each gets or what stops it."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:

        def start(port, processes, *those, timeout=10.0):
            return [pool.submit(assemble, Place(f"localhost:{port}", processes, one), timeout) for one in those]

        yield start


def ends(attending):
    """What each got, as text where that is an error; connections are closed."""
    said = []
    for future in attending:
        try:
            wires = future.result(timeout=20)
        except Exception as error:
            said.append(f"{type(error).__name__}: {error}")
        else:
            said.append(sorted(wires))
            for wire in wires.values():
                wire.close()
    return said


def test_everybody_is_connected_to_process_0(attend, port):
    assert ends(attend(port, 4, 3, 1, 0, 2)) == [[0], [0], [1, 2, 3], [0]]


def test_a_connection_carries_messages_both_ways_after_the_roll_call(attend, port):
    main, other = (future.result(timeout=20) for future in attend(port, 2, 0, 1))
    main[1].say({"to": 1})
    other[0].say({"to": 0})
    assert (other[0].hear(), main[1].hear()) == ({"to": 1}, {"to": 0})
    main[1].close()
    other[0].close()


def test_process_0_may_come_last(attend, port):
    early = attend(port, 2, 1)
    time.sleep(0.3)
    assert ends([*early, *attend(port, 2, 0)]) == [[0], [1]]


def test_each_process_that_waits_is_told_who_is_missing(attend, port):
    for said in ends(attend(port, 5, 0, 2, 4, timeout=0.4)):
        assert said.startswith(f"RunError: processes 1, 3 of 5 did not come to localhost:{port} within 0.4 s; start")


def test_without_process_0_that_is_what_is_said(attend, port):
    (said,) = ends(attend(port, 3, 1, timeout=0.3))
    assert said.startswith(f"RunError: process 0 of 3 did not answer at localhost:{port} within 0.3 s")


def test_a_name_that_is_not_known_yet_is_tried_again(attend, port, monkeypatch):
    connect, tries = socket.create_connection, []

    def resolve(*arguments, **options):
        tries.append(arguments)
        if len(tries) < 3:
            raise socket.gaierror("Name or service not known")
        return connect(*arguments, **options)

    monkeypatch.setattr(socket, "create_connection", resolve)
    assert ends(attend(port, 2, 0, 1)) == [[1], [0]]


def test_somebody_who_leaves_is_missing_again(attend, port):
    (main,) = attend(port, 3, 0, timeout=1.0)
    time.sleep(0.1)
    with socket.create_connection(("localhost", port)) as leaver:
        leaver.sendall(b'{"tlj": "tlj roll call 1", "process": 1, "processes": 3}\n')
        time.sleep(0.1)
    (said,) = ends([main])
    assert "processes 1, 2 of 3" in said


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", b"\xff\n", b'{"process": 1}\n', b"[" * 70_000, b""])
def test_strangers_do_not_disturb_the_roll_call(attend, port, said):
    (main,) = attend(port, 2, 0)
    time.sleep(0.1)
    with socket.create_connection(("localhost", port)) as stranger, contextlib.suppress(OSError):
        stranger.sendall(said)
        assert ends([main, *attend(port, 2, 1)]) == [[1], [0]]


def test_two_processes_of_one_number_are_refused_and_the_first_stays(attend, port):
    main, first = attend(port, 3, 0, 1)
    time.sleep(0.2)
    (said,) = ends(attend(port, 3, 1))
    assert said == "InputError: --process: there are two of process 1; give every process its own number"
    assert ends([main, first, *attend(port, 3, 2)]) == [[1, 2], [0], [0]]


def test_processes_that_were_told_of_different_numbers_are_refused(attend, port):
    (main,) = attend(port, 2, 0, timeout=1.0)
    (said,) = ends(attend(port, 3, 1))
    assert "process 0 was told of 2 processes, and process 1 of 3" in said
    assert "process 1 of 2 did not come" in ends([main])[0]


def test_a_port_that_is_taken_is_refused_at_once(port):
    with socket.create_server(("", port)), pytest.raises(InputError, match=f"port {port} is taken"):
        assemble(Place(f"localhost:{port}", 2, 0), 10)
