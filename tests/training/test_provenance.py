import dataclasses
import json

import pytest

from tlj.errors import InputError
from tlj.freezing.phases import Group, Phase
from tlj.training.phase_record import PhaseRecord
from tlj.training.provenance import Provenance, is_of_this_format
from tlj.training.run_record import RunRecord

PHASE = Phase((("head/kernel", "head"),), (Group("head"),))
OTHER = dataclasses.replace(PHASE, adapting=("backbone/norm",))
ABOUT = {"config": {"steps": 5, "optimizer": {"learning_rate": 0.1}}, "manifest": {}}
RUN = Provenance("c", "m", "k", [PHASE], ABOUT, "ema")
RECORD = RunRecord(PhaseRecord({"a": "1"}, lowest_loss=0.1 + 0.2), best=[(4, 0.5)], stopped_at=9)


def on_disk(run, record=RECORD, metrics=None):
    return json.loads(json.dumps(run.metadata(record, metrics or {})))


def test_the_record_comes_back_and_everything_a_reader_needs_is_there():
    said = on_disk(RUN, metrics={"validation_loss": 0.1})
    assert RUN.record_of(said, 3, "there") == RECORD
    assert said.keys() == {"format", "identity", "record", "metrics", "about", "evaluated"}
    assert said["identity"] == {"config": "c", "model": "m", "classes": "k", "phase": PHASE.digest}
    assert (said["metrics"], said["about"], said["evaluated"]) == ({"validation_loss": 0.1}, ABOUT, "ema")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"config": "x"}, "config"),
        ({"model": "x", "config": "x"}, "architecture"),
        ({"classes": "x", "config": "x"}, "class list"),
        ({"phases": [OTHER], "config": "x"}, "phase"),
        ({"phases": []}, "phase"),
        ({"model": "x", "classes": "x", "phases": [OTHER], "config": "x"}, "architecture"),
        ({"classes": "x", "phases": [OTHER], "config": "x"}, "class list"),
    ],
)
def test_another_run_is_refused_by_what_tells_most(changes, word):
    with pytest.raises(InputError, match=f"there: the checkpoint of step 3 has another {word}; use another workdir"):
        dataclasses.replace(RUN, **changes).record_of(on_disk(RUN), 3, "there")


@pytest.mark.parametrize("told", [{}, {"format": 1}, {"format": 3}])
def test_another_version_is_refused_before_anything_else_is_read(told):
    assert not is_of_this_format(told)
    with pytest.raises(InputError, match=r"another version: its format is \d, that of this tlj 2"):
        RUN.record_of(told, 3, "there")


def test_keys_of_the_config_that_differ_are_shown_the_first_three_of_them():
    one = dataclasses.replace(RUN, config="x", about={"config": {"steps": 5, "optimizer": {"learning_rate": 0.2}}})
    with pytest.raises(InputError, match=r"another config \(optimizer.learning_rate was 0.1 and is 0.2\);"):
        one.record_of(on_disk(RUN), 3, "there")
    many = dataclasses.replace(one, about={"config": {"a": 1, "b": 2, "steps": 6, "optimizer": {"learning_rate": 1}}})
    with pytest.raises(InputError, match=r"\(a was None and is 1, b was .*, optimizer.* and is 1, 1 more\)"):
        many.record_of(on_disk(RUN), 3, "there")
