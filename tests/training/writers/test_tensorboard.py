"""Event files, read back by the format's description: TFRecord framing, CRC-32C, and the events in it."""

import os
import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboardX.proto.event_pb2 import Event, SessionLog

from tlj.training.writers.tensorboard import TensorboardWriter


def masked_crc32c(data):
    """The checksum of the format, from the polynomial of CRC-32C."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def events_of(path):
    """Every event of a file that must be whole."""
    content, events, offset = path.read_bytes(), [], 0
    while offset < len(content):
        length, checksum = struct.unpack_from("<QI", content, offset)
        data = content[offset + 12 : offset + 12 + length]
        assert checksum == masked_crc32c(content[offset : offset + 8])
        assert struct.unpack_from("<I", content, offset + 12 + length) == (masked_crc32c(data),)
        events.append(Event.FromString(data))
        offset += length + 16
    return events


def files_of(directory):
    return sorted((directory / "tensorboard").glob("*tfevents*"))


def scalars_of(directory):
    """What a reader finds that takes every file in order and knows nothing of restarts."""
    return [
        (event.step, value.tag, value.simple_value)
        for path in files_of(directory)
        for event in events_of(path)
        for value in event.summary.value
    ]


def rows(*steps):
    return [{"step": step, "loss": 1.0 / step} for step in steps]


def write(directory, before, after):
    """A process that goes on from some rows, writes others, and is killed: nothing is closed."""
    writer = TensorboardWriter(directory, before)
    for row in after:
        writer.write(row)
    return writer


def test_the_checksum_here_is_that_of_the_standard():
    # RFC 3720, B.4: 32 bytes of zeros.
    assert masked_crc32c(bytes(32)) == (((0x8A9136AA >> 15) | (0x8A9136AA << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def test_every_number_of_a_row_is_a_scalar_at_its_step(tmp_path):
    write(
        tmp_path,
        [],
        [{"step": 8, "phase": 0, "loss": 0.5, "learning_rate": {"head": 0.25}, "timing": {"step_s": None}}],
    )
    assert scalars_of(tmp_path) == [(8, "phase", 0.0), (8, "loss", 0.5), (8, "learning_rate/head", 0.25)]


def test_a_file_begins_as_readers_expect(tmp_path):
    write(tmp_path, [], rows(5))
    (path,) = files_of(tmp_path)
    first, second, third = events_of(path)
    assert first.file_version == "brain.Event:2"
    # A reader that watches the folder drops what it knows from this step on.
    assert (second.session_log.status, second.step) == (SessionLog.START, 0)
    assert (third.step, abs(third.wall_time - time.time()) < 60) == (5, True)


def test_after_a_kill_no_step_is_there_twice_or_beyond_where_the_run_went_on(tmp_path):
    write(tmp_path, [], rows(5, 10, 15, 20))
    write(tmp_path, rows(5, 10), rows(15))
    assert [step for step, _, _ in scalars_of(tmp_path)] == [5, 10, 15]
    write(tmp_path, rows(5, 10, 15), rows(20, 25))
    assert [step for step, _, _ in scalars_of(tmp_path)] == [5, 10, 15, 20, 25]
    write(tmp_path, [], rows(5))
    assert [step for step, _, _ in scalars_of(tmp_path)] == [5]


def test_a_restart_restores_what_the_files_lost_or_never_had(tmp_path):
    write(tmp_path, rows(5, 10), [])
    (path,) = files_of(tmp_path)
    path.unlink()
    write(tmp_path, rows(5, 10, 15), rows(20))
    assert [step for step, _, _ in scalars_of(tmp_path)] == [5, 10, 15, 20]


def test_a_restart_keeps_the_times_at_which_steps_were_written(tmp_path, monkeypatch):
    moment = [1000.0]
    monkeypatch.setattr(time, "time", lambda: moment[0])
    writer = write(tmp_path, [], [])
    for row in rows(5, 10):
        moment[0] += 60
        writer.write(row)
    moment[0] += 3600
    write(tmp_path, rows(5, 10), rows(15))
    (path,) = files_of(tmp_path)
    assert [event.wall_time for event in events_of(path)] == [1060, 1060, 1060, 1120, 4720]


def test_a_new_file_sorts_after_the_one_before_though_no_second_has_passed(tmp_path):
    names = []
    for _ in range(3):
        write(tmp_path, [], rows(5))
        (path,) = files_of(tmp_path)
        names.append(path.name)
    assert names == sorted(set(names))


def test_a_kill_between_the_new_file_and_the_removal_of_the_old_is_made_good(tmp_path):
    write(tmp_path, [], rows(5, 10))
    (old,) = files_of(tmp_path)
    content = old.read_bytes()
    write(tmp_path, rows(5), rows(10))
    old.write_bytes(content)
    write(tmp_path, rows(5, 10), [])
    assert [step for step, _, _ in scalars_of(tmp_path)] == [5, 10]


@settings(derandomize=True, deadline=None, max_examples=40)
@given(length=st.integers(0, 400), junk=st.binary(max_size=40))
def test_a_file_cut_or_damaged_by_a_kill_is_no_hindrance(tmp_path_factory, length, junk):
    directory = tmp_path_factory.mktemp("run")
    write(directory, [], rows(5, 10, 15))
    (path,) = files_of(directory)
    path.write_bytes(path.read_bytes()[:length] + junk)
    write(directory, rows(5, 10), rows(15))
    assert [step for step, _, _ in scalars_of(directory)] == [5, 10, 15]


def test_files_of_others_stay(tmp_path):
    write(tmp_path, [], rows(5))
    other = tmp_path / "tensorboard" / "plugins" / "profile"
    other.mkdir(parents=True)
    (tmp_path / "tensorboard" / "notes.txt").write_text("mine")
    write(tmp_path, rows(5), [])
    assert sorted(os.listdir(tmp_path / "tensorboard"))[1:] == ["notes.txt", "plugins"]
    assert other.exists()


def test_a_folder_that_cannot_be_written_is_an_error_and_not_a_wait(tmp_path):
    (tmp_path / "tensorboard").write_text("in the way")
    with pytest.raises(OSError, match="exists"):
        TensorboardWriter(tmp_path, [])


def test_a_row_costs_the_loop_little(tmp_path):
    writer = TensorboardWriter(tmp_path, [])
    row = {"step": 1, "loss": 1.0, "learning_rate": {"head": 0.1}, "timing": {"step_s": 0.1, "input_wait_share": 0.1}}
    times = []
    for _ in range(20):
        begin = time.perf_counter()
        writer.write(row)
        times.append(time.perf_counter() - begin)
    assert min(times) < 2e-3
