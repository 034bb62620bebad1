"""How money and energy are said."""

import pytest

from tlj.evidence.words.money import carbon, dollars, dollars_interval, energy


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "$0"),
        (0.000069, "$0.000069"),
        (0.0021, "$0.0021"),
        (0.012, "$0.012"),
        (0.05, "$0.05"),
        (0.5, "$0.50"),
        (5.4, "$5.40"),
        (500.0, "$500"),
        (12345.6, "$12,346"),
        (-3.21, "−$3.21"),
        (None, "–"),
    ],
)
def test_an_amount_has_the_digits_that_say_something(value, said):
    assert dollars(value) == said


def test_an_interval_may_have_an_end_without_bound():
    assert dollars_interval([1.2, 3.4]) == "[$1.20, $3.40]"
    assert dollars_interval([1.2, None]) == "[$1.20, …]"
    assert dollars_interval(None) == ""


def test_energy_and_carbon_have_units_that_suit_them():
    assert [energy(value) for value in (0.0032, 1.44, None)] == ["3.2 Wh", "1.44 kWh", "–"]
    assert [carbon(value) for value in (0.0032, 1.44, None)] == ["3.2 g", "1.44 kg", "–"]
