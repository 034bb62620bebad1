import pytest

from tlj.errors import InputError
from tlj.experiments import dry_run as module
from tlj.experiments.dry_run import dry_run_compare, dry_run_train


@pytest.fixture
def looked_at(monkeypatch):
    """The setups that a dry run was asked for; it is itself tested in its own room."""
    setups = []

    def dry_run(setup, programs):
        setups.append((setup, programs))
        return {"init": setup.init, "has_source": setup.pretrained is not None}

    monkeypatch.setattr(module, "dry_run", dry_run)
    return setups


def test_each_arm_is_tried_once_after_the_source_and_nothing_is_written(tiny_config, tmp_path, looked_at):
    found = dict(dry_run_compare(tiny_config(tmp_path / "nowhere")))
    assert list(found) == ["source", "scratch", "linear_probe", "last_blocks:1", "full", "full@mean_var"]
    assert not any(facts["has_source"] for facts in found.values())
    assert len({id(programs) for _, programs in looked_at}) == 1
    assert not (tmp_path / "nowhere").exists()


def test_a_source_that_is_trained_is_loaded_and_not_tried_again(comparison, tiny_config, looked_at):
    workdir, _ = comparison
    before = sorted(workdir.rglob("*"))
    found = dict(dry_run_compare(tiny_config(workdir)))
    assert "source" not in found
    assert all(facts["has_source"] for facts in found.values())
    assert sorted(workdir.rglob("*")) == before


def test_one_run_is_tried_by_its_strategy(tiny_config, tmp_path, looked_at):
    config = tiny_config(tmp_path / "nowhere", strategy="scratch", label_budget=40)
    config.model.source = ""
    assert dict(dry_run_train(config)) == {"scratch": {"init": "scratch", "has_source": False}}
    assert not (tmp_path / "nowhere").exists()


def test_what_the_real_thing_refuses_is_refused_before_anything_is_compiled(tiny_config, tmp_path, comparison):
    with pytest.raises(InputError, match="a comparison, not a run"):
        next(dry_run_train(tiny_config(comparison[0], strategy="scratch")))
    with pytest.raises(InputError, match="made with another config"):
        next(dry_run_compare(tiny_config(comparison[0], global_batch_size=8)))
    with pytest.raises(InputError, match="arm 'last_blocks:9'"):
        next(dry_run_compare(tiny_config(tmp_path, arms=("scratch", "last_blocks:9"))))
