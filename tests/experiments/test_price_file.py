import pytest

from tlj.experiments.price_file import copy_prices, price_of_an_hour

PRICES = '[[accelerators]]\nname = "two cores"\nkinds = ["TPU v2"]\ndevices_per_chip = 2\ndollars_per_chip_hour = 3.0\n'


def test_the_file_lies_beside_the_runs_and_a_later_one_replaces_it(tiny_config, tmp_path):
    prices, workdir = tmp_path / "mine.toml", tmp_path / "w"
    workdir.mkdir()
    copy_prices(tiny_config(workdir), workdir)
    assert list(workdir.iterdir()) == []
    for text in (PRICES, PRICES.replace("3.0", "4.0")):
        prices.write_text(text)
        copy_prices(tiny_config(workdir, prices=str(prices)), workdir)
        assert (workdir / "prices.toml").read_text() == text


def test_an_hour_of_a_device_is_its_share_of_the_chips(tiny_config, tmp_path):
    prices = tmp_path / "mine.toml"
    prices.write_text(PRICES)
    config = tiny_config("w", prices=str(prices))
    assert price_of_an_hour(config, "TPU v2") == pytest.approx(1.5)
    assert price_of_an_hour(config, "TPU v9") is None
    assert price_of_an_hour(tiny_config("w"), "TPU v2") is None
