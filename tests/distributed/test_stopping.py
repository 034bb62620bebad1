import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlj.distributed.stopping import Stopping


def test_nobody_stops_without_a_notice():
    stopping = Stopping()
    assert not any(stopping.requested(step) for step in range(100))


def test_a_process_alone_stops_at_its_next_question_and_stays_stopped():
    stopping = Stopping()
    stopping.requested(1)
    stopping.notice()
    stopping.notice()
    assert stopping.requested(2)
    assert stopping.requested(3)
    assert stopping.step == 3


@settings(derandomize=True, deadline=None)
@given(asked=st.lists(st.integers(0, 20), min_size=2, max_size=5), told=st.integers(0, 4))
def test_all_processes_stop_at_the_same_question(asked, told):
    notices = []
    group = [Stopping(lambda: notices.append(1)) for _ in asked]
    for stopping, count in zip(group, asked, strict=True):
        assert not any(stopping.requested(0) for _ in range(count))
    group[told % len(group)].notice()
    assert notices == [1]
    stop_at = max(stopping.halt() for stopping in group) + 1
    for stopping in group:
        stopping.stop_at(stop_at)
    stopped_at = []
    for stopping, count in zip(group, asked, strict=True):
        questions = count + 1
        while not stopping.requested(0):
            questions += 1
        stopped_at.append(questions)
    assert set(stopped_at) == {max(asked) + 1}


def test_no_question_is_answered_while_the_others_are_asked():
    stopping = Stopping(lambda: None)
    stopping.halt()
    answers = []
    asking = threading.Thread(target=lambda: answers.append(stopping.requested(1)))
    asking.start()
    time.sleep(0.05)
    assert answers == []
    stopping.stop_at(1)
    asking.join(10)
    assert answers == [True]


@pytest.mark.parametrize("late", [False, True])
def test_a_listener_hears_of_the_notice_once_however_late_it_comes(late):
    heard, stopping = [], Stopping()
    if late:
        stopping.notice()
    stopping.when_noticed(lambda: heard.append(1))
    stopping.notice()
    assert heard == [1]
