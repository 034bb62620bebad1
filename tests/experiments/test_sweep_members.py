"""The members of a sweep: what they are told apart by, and what is refused before any of them runs."""

import pathlib

import pytest

from tlj import config as configuration
from tlj.errors import InputError
from tlj.experiments.sweep_members import read_members

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"


@pytest.fixture
def members(tmp_path):
    """Reads the members of a sweep that is given as Python: ``members("{'seed': 1}", "steps=3")``."""

    def read(yielded, *overrides, verb="train", base="{'steps': 9}", workdir="w"):
        path = tmp_path / "c.py"
        path.write_text(
            f"def get_config(arg=None):\n    return {base}\n\ndef sweep(arg=None):\n    return [{yielded}]\n"
        )
        return read_members(str(path), [f"workdir={tmp_path / workdir}", *overrides], verb)[1]

    return read


def hashes(members):
    return [member.hash for member in members]


def test_each_overrides_make_one_member_in_order_with_dotted_and_nested_keys(members):
    made = members("{'seed': 1}, {'optimizer.learning_rate': '1e-2', 'model': {'settings': {'depth': 3}}}")
    assert [member.overrides for member in made] == [
        {"seed": 1},
        {"optimizer.learning_rate": 0.01, "model.settings.depth": 3},
    ]
    assert [(member.config.steps, member.config.seed) for member in made] == [(9, 1), (9, 0)]
    assert made[0].folder.parts[-2:] == ("members", made[0].hash)
    assert made[0].words[0] == "train"
    assert "--single-process" in made[0].words


def test_adding_and_reordering_leaves_every_other_member_the_same_and_a_changed_one_is_another(members):
    first = hashes(members("{'seed': 1}, {'seed': 2}"))
    assert hashes(members("{'seed': 3}, {'seed': 2}, {'seed': 1}"))[1:] == first[::-1]
    assert not set(hashes(members("{'seed': 1}, {'seed': 2}", "steps=10"))) & set(first)
    assert hashes(members("{'seed': 1}, {'seed': 2}", workdir="elsewhere")) == first


def test_a_repeated_member_is_one_also_where_it_is_written_otherwise_and_is_told_of(members, capsys):
    assert len(members("{'seed': 1}, {'seed': '1'}, {'steps': 9, 'seed': 1}, {'seed': 0}, {}")) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 3
    assert told[0].endswith("sweep()[1] makes the run of seed=1; it is trained once")


def test_how_a_run_is_carried_out_and_how_a_comparison_is_arranged_make_no_other_run(members):
    assert hashes(members("{'seed': 1}", "data.threads=3", "seeds=7,8")) == hashes(members("{'seed': 1}"))
    comparisons = [members("{'steps': 5}", *more, verb="compare")[0].hash for more in ((), ("seeds=7,8",))]
    assert len(set(comparisons)) == 2


@pytest.mark.parametrize("verb", ["train", "compare"])
def test_the_file_of_a_member_says_all_of_its_config(members, verb, tmp_path):
    base = "{'steps': 9, 'arms': ['scratch', 'full', 'rules'], 'rules': [['head/.*', 'head'], ['.*', 'frozen']]}"
    key = "'label_budget': 50" if verb == "train" else "'label_budgets': [50, 'all']"
    (member,) = members(f"{{{key}, 'model.settings.width': 16}}", verb=verb, base=base)
    (tmp_path / "member.py").write_text(member.file_text)
    again = configuration.load(str(tmp_path / "member.py"), [f"workdir={member.folder}"])
    if verb == "train":
        assert configuration.run_config(again) == configuration.run_config(member.config)
    else:
        assert configuration.diff(again, member.config) == {}


def test_what_is_declared_of_an_arm_that_a_member_takes_out_is_idle(members, tmp_path):
    base = "{'declared': {'full': {'optimizer': {'learning_rate': 0.1}}}}"
    alone, both = members("{'arms': ['scratch']}, {'arms': ['scratch', 'full']}", verb="compare", base=base)
    assert [list(member.config.declared) for member in (alone, both)] == [[], ["full"]]
    (tmp_path / "member.py").write_text(alone.file_text)
    assert list(configuration.load(str(tmp_path / "member.py")).declared) == []


@pytest.mark.parametrize(
    ("yielded", "overrides", "verb", "told"),
    [
        ("{'seed': 1}, {'optimizer.lerning_rate': 1}", (), "train", "sweep()[1].optimizer.lerning_rate: unknown key"),
        ("{'steps': -1}", (), "train", "sweep()[0].steps: -1 is not"),
        ("{'strategy': 'linear_prob'}", (), "train", "sweep()[0]: config.strategy: unknown strategy"),
        ("{'strategy': 'scratch', 'init': 'pretrained'}", (), "train", "cannot start from init 'pretrained'"),
        ("{'arms': ['scratch', 'ful']}", (), "compare", "sweep()[0]: config.arms[1]: unknown"),
        ("{'arms': ['full']}", (), "compare", "sweep()[0]: config.twin: the twin 'scratch' is not"),
        ("{'declared.ful.steps': 3}", (), "compare", "sweep()[0].declared.ful: unknown arm 'ful'"),
        ("{'workdir': 'x'}", (), "train", "sweep()[0].workdir: a member's folder follows"),
        ("{'seeds': [1]}", (), "train", "sweep()[0].seeds: changes nothing in one run; did you mean 'seed'?"),
        ("{'seed': 1}", ("seed=2",), "train", "--config.seed: "),
        ("3", (), "train", "sweep()[0]: sweep yielded int"),
        ("{1: 2}", (), "train", "sweep()[0]: 1 is no key"),
        ("", (), "train", "sweep yielded nothing"),
    ],
)
def test_a_member_that_cannot_be_is_refused(members, yielded, overrides, verb, told):
    with pytest.raises(InputError) as caught:
        members(yielded, *overrides, verb=verb)
    assert told in str(caught.value)


def test_every_wrong_member_gets_a_line(members, capsys):
    with pytest.raises(InputError, match=r"sweep\(\)\[2\].steps"):
        members("{'steps': -1}, {'seed': 1}, {'steps': -2}")
    (line,) = capsys.readouterr().err.splitlines()
    assert "sweep()[0].steps" in line


def test_the_sweep_over_strategies_is_a_run_of_each(tmp_path):
    file = str(CONFIGS / "strategies.py")
    _, all_of_them = read_members(file, [f"workdir={tmp_path}"], "train")
    assert len(all_of_them) == len({member.config.strategy for member in all_of_them}) > 10
    _, (one,) = read_members(f"{file}:lp_ft", [f"workdir={tmp_path}"], "train")
    assert one.hash in hashes(all_of_them)
