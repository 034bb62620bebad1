"""The file of prices: what it may hold, and the line that says what is wrong with it."""

import json

import pytest

from tlj import cli
from tlj.errors import InputError
from tlj.evidence.money.prices import Quote, find_prices, read_prices


@pytest.fixture
def read(tmp_path):
    """Reads a file of the given text."""

    def read(text):
        (tmp_path / "prices.toml").write_text(text)
        return read_prices(tmp_path / "prices.toml")

    return read


def test_the_example_is_read_and_knows_the_devices_that_jax_reports(pytestconfig):
    prices = read_prices(pytestconfig.rootpath / "configs/prices.toml")
    by_kind = {
        kind: prices.accelerator(kind).value("dollars_per_chip_hour")
        for kind in ("TPU v4", "TPU v5 lite", "TPU v5", "TPU v6 lite", "NVIDIA H100 80GB HBM3")
    }
    assert list(by_kind.values()) == [3.22, 1.20, 4.20, 2.70, 3.99]
    assert prices.accelerator("TPU v3").value("devices_per_chip") == 2
    assert prices.accelerator("cpu") is None
    assert "example" in prices.about


def test_every_number_of_the_example_has_a_source(pytestconfig):
    prices = read_prices(pytestconfig.rootpath / "configs/prices.toml")
    quotes = [*prices.quotes.values(), *(q for entry in prices.accelerators for q in entry.quotes.values())]
    assert all(quote.source for quote in quotes)
    assert any(quote.date == "undated" for quote in quotes)


def test_a_number_takes_source_and_date_from_its_table_its_file_or_itself(read):
    prices = read(
        """
        date = 2026-01-31
        [labels]
        source = "an offer"
        dollars_per_label = 0.05
        workers_per_label = {value = 3, source = "our habit", date = "2025", assumed = true}
        [energy]
        pue = 1.1
        """
    )
    assert prices.quotes["labels.dollars_per_label"] == Quote(0.05, "an offer", "2026-01-31", False)
    assert prices.quotes["labels.workers_per_label"] == Quote(3.0, "our habit", "2025", True)
    assert prices.quotes["energy.pue"] == Quote(1.1, "", "2026-01-31", False)


def test_a_file_may_be_empty(read):
    prices = read("")
    assert (prices.accelerators, prices.quotes) == ((), {})
    assert prices.value("energy.pue") is None
    assert prices.value("lifetime.years", 5.0) == 5.0


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[labels", "cannot be read as TOML"),
        ("[lables]", "unknown key 'lables'; did you mean 'labels'?"),
        ("[labels]\nprice = 1", "labels: unknown key 'price'"),
        ("[labels]\ndollars_per_label = -1", "labels.dollars_per_label: -1 for price of one label by one worker"),
        ("[labels]\ndollars_per_label = nan", "no number"),
        ("[labels]\ndollars_per_label = true", "no number"),
        (f"[labels]\ndollars_per_label = 1{'0' * 400}", "labels.dollars_per_label: more than 1e+15 for price of one"),
        ("[labels]\ndollars_per_label = {value = 1, currency = 'EUR'}", "unknown key 'currency'"),
        ("[labels]\nworkers_per_label = 0", "give more than 0"),
        ("[energy]\npue = 0.9", "energy.pue: 0.9 for power usage effectiveness"),
        ("[energy]\npue = {value = 1.1, source = 3}", "source and date are texts"),
        ("[pretraining]\nreuses = 0", "give 1 or more"),
        ("labels = 3", "labels: no table"),
        ("about = 3", "about: no text"),
        ("[accelerators]\nwatts = 1", "write [[accelerators]]"),
        ("[[accelerators]]\nwatts = 1", "accelerators[0].kinds: no device kinds"),
        ("[[accelerators]]\nkinds = ['cpu']\n[[accelerators]]\nkinds = ['CPU']", "'CPU' stands twice"),
        ("[[accelerators]]\nkinds = ['cpu']\ndollar_per_chip_hour = 1", "did you mean 'dollars_per_chip_hour'?"),
    ],
)
def test_what_cannot_be_is_refused_with_one_line_that_says_where(text, line, read):
    with pytest.raises(InputError) as refused:
        read(text)
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "prices.toml" in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_prices(tmp_path / "none.toml")
    with pytest.raises(InputError, match="cannot be read"):
        read_prices(tmp_path)


def test_prices_are_those_of_the_command_else_those_of_the_folder(tmp_path):
    assert find_prices(tmp_path) is None
    (tmp_path / "prices.toml").write_text("[labels]\ndollars_per_label = 1")
    (tmp_path / "other.toml").write_text("[labels]\ndollars_per_label = 2")
    assert find_prices(tmp_path).value("labels.dollars_per_label") == 1
    assert find_prices(tmp_path, tmp_path / "other.toml").value("labels.dollars_per_label") == 2


def test_a_report_takes_its_prices_from_the_command(make_comparison, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("tlj.evidence.report.write_figures", lambda *arguments: {})
    directory = make_comparison(tmp_path / "c", arms=("scratch", "full"), budgets=(10,), seeds=(0, 1))
    (tmp_path / "mine.toml").write_text("[[accelerators]]\nkinds = ['cpu']\ndollars_per_chip_hour = 3600")
    assert cli.main(["report", str(directory), f"--prices={tmp_path}/mine.toml"]) == 0
    cost = json.loads((directory / "summary.json").read_text())["cost"]
    assert (cost["prices"]["file"], cost["dollars"]) == ("mine.toml", pytest.approx(3.2))
    assert cli.main(["report", str(directory), f"--prices={tmp_path}/none.toml"]) == 2
    assert "no such file" in capsys.readouterr().err
