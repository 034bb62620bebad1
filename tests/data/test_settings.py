"""What of a config says which data is opened, and what becomes of what cannot be read."""

import pytest

from tlj import config as configuration
from tlj.config_keys import KEYS
from tlj.data.settings import BATCHING, DataSettings, Problems
from tlj.errors import InputError


def test_a_source_is_opened_once_for_equal_settings_whatever_else_the_config_says():
    changes = {"data": {"source": "csv:a", "columns": {"text": ("a", "b"), "label": "y"}, "classes": ("n", "p")}}
    one = DataSettings.of(configuration.merge(configuration.default(), changes).to_dict()["data"])
    other = configuration.merge(configuration.default(), {**changes, "steps": 3}).to_dict()["data"]
    assert one == DataSettings.of({**other, "columns": {**other["columns"], "text": ["a", "b"]}})
    assert hash(one) == hash(DataSettings.of(other))
    assert (one.text, one.label, one.classes, one.on_error) == (("a", "b"), "y", ("n", "p"), "raise")


def test_every_way_of_batching_can_be_configured():
    assert set(KEYS["data.text.batching"].kind.names) == set(BATCHING)


def test_the_first_problem_stops_with_its_place_and_the_way_around_it():
    with pytest.raises(InputError) as stopped:
        Problems(DataSettings("csv:a")).add("a.csv, row 3", "the label is empty", "fill it in")
    line = str(stopped.value)
    assert line.startswith("a.csv, row 3: the label is empty; fill it in")
    assert "data.on_error=skip" in line


def test_problems_are_listed_up_to_the_limit_and_no_further():
    problems = Problems(DataSettings("csv:a", on_error="skip", skip_limit=2))
    for row in (3, 5):
        problems.add(f"row {row}", "no label", "mend it")
    assert [(one.where, one.reason) for one in problems.skipped] == [("row 3", "no label"), ("row 5", "no label")]
    with pytest.raises(InputError, match="more than 2 examples cannot be read; the last is row 9: no label"):
        problems.add("row 9", "no label", "mend it")


def test_binary_reads_the_labels_of_multiclass_and_other_tasks_their_own():
    data = configuration.default().data.to_dict()
    assert DataSettings.of(data, "binary") == DataSettings.of(data)
    assert DataSettings.of(data, "regression").task == "regression"
