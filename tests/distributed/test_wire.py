import socket
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlj.distributed.wire import Wire, message_of

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def ends():
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    wires = Wire(one), Wire(other)
    yield wires
    for wire in wires:
        wire.close()


@settings(derandomize=True, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=4))
def test_messages_arrive_as_they_were_and_in_order(ends, values):
    for value in values:
        ends[0].say({"value": value})
    assert [ends[1].hear() for _ in values] == [{"value": value} for value in values]


def test_messages_of_two_threads_do_not_mix(ends):
    def speak(letter):
        for _ in range(5):
            ends[0].say({"text": letter * 1_000_000})

    threads = [threading.Thread(target=speak, args=[letter]) for letter in "ab"]
    for thread in threads:
        thread.start()
    heard = [ends[1].hear()["text"] for _ in range(10)]
    for thread in threads:
        thread.join()
    assert set(heard) == {"a" * 1_000_000, "b" * 1_000_000}


def test_a_time_that_runs_out_is_not_an_end(ends):
    ends[1].connection.settimeout(0.01)
    with pytest.raises(TimeoutError):
        ends[1].hear()


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=40))
def test_what_is_no_message_is_empty(line):
    assert isinstance(message_of(line), dict)
    assert message_of(b"[" * 100_000) == {}


def test_an_end_is_heard_and_nothing_said_to_it_fails():
    one, other = (Wire(end) for end in _connected())
    other.close()
    assert one.hear() is None
    for _ in range(3):
        one.say({"anybody": "there"})
    one.close()


def test_closing_ends_a_thread_that_hears():
    one, other = (Wire(end) for end in _connected())
    heard = []
    thread = threading.Thread(target=lambda: heard.append(one.hear()))
    thread.start()
    one.close()
    thread.join(10)
    assert heard == [None]
    other.close()


def _connected():
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        return one, server.accept()[0]
