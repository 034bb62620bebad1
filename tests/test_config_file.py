import pathlib

import pytest
from ml_collections import ConfigDict

from tlj.config_file import read_config_file, read_sweep, split_spec
from tlj.errors import InputError


def write(folder, name, text):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return str(folder / name)


def refusal(spec):
    with pytest.raises(InputError) as caught:
        read_config_file(spec)
    return caught.value


@pytest.mark.parametrize(
    ("spec", "path", "argument"),
    [
        ("configs/digits.py", "configs/digits.py", None),
        ("configs/digits.py:resnet", "configs/digits.py", "resnet"),
        ("configs/digits.py:", "configs/digits.py", None),
        ("configs/digits.py:a:b", "configs/digits.py", "a:b"),
        ("at:noon/digits.py:resnet", "at:noon/digits.py", "resnet"),
        ("configs/digits:resnet", "configs/digits", None),
    ],
)
def test_the_spec_is_a_path_and_an_argument(spec, path, argument):
    assert split_spec(spec) == (pathlib.Path(path), argument)


def test_get_config_gets_the_argument(tmp_path):
    path = write(tmp_path, "a.py", "def get_config(arg=None):\n    return {'strategy': arg or 'full'}\n")
    assert read_config_file(path)[1] == {"strategy": "full"}
    assert read_config_file(f"{path}:linear_probe")[1] == {"strategy": "linear_probe"}


def test_get_config_may_return_a_config_dict(tmp_path):
    path = write(
        tmp_path,
        "a.py",
        "import tlj.config\ndef get_config():\n    c = tlj.config.default()\n    c.steps = 7\n    return c\n",
    )
    found, config = read_config_file(path)
    assert found == pathlib.Path(path)
    assert isinstance(config, ConfigDict)
    assert config.steps == 7


def test_get_config_sees_the_names_of_its_file(tmp_path):
    path = write(
        tmp_path, "a.py", "STEPS = 3\ndef more(): return STEPS + 1\ndef get_config(): return {'steps': more()}\n"
    )
    assert read_config_file(path)[1] == {"steps": 4}


def test_a_file_edited_within_a_second_is_read_anew(tmp_path):
    for steps in (1, 2):
        path = write(tmp_path, "a.py", f"def get_config(): return {{'steps': {steps}}}\n")
        assert read_config_file(path)[1] == {"steps": steps}


@pytest.mark.parametrize("asked", ["digit.py", "digits", "digits:resnet", "Digits.py:resnet"])
def test_a_missing_file_names_the_nearest_in_the_same_folder(tmp_path, asked):
    write(tmp_path, "digits.py", "")
    write(tmp_path, "vit_b16.py", "")
    error = refusal(f"{tmp_path}/{asked}")
    assert error.nearest == str(tmp_path / "digits.py")
    assert "digits.py, vit_b16.py" in error.do


def test_a_missing_folder_names_the_nearest(tmp_path):
    write(tmp_path / "configs", "digits.py", "")
    error = refusal(f"{tmp_path}/confgs/digits.py")
    assert "no folder" in error.what
    assert error.nearest == str(tmp_path / "configs" / "digits.py")


def test_a_folder_is_not_a_file(tmp_path):
    write(tmp_path, "digits.py", "")
    error = refusal(str(tmp_path))
    assert "a folder" in error.what
    assert "digits.py" in error.do


def test_a_file_without_get_config_names_what_may_have_been_meant(tmp_path):
    error = refusal(write(tmp_path, "a.py", "def get_confg():\n    return {}\n"))
    assert (error.what, error.nearest) == ("no get_config", "get_confg")


@pytest.mark.parametrize(
    ("text", "what", "line"),
    [
        ("\ndef get_config(:\n", "SyntaxError", "line 2"),
        ("import nothing_of_the_kind\n", "nothing_of_the_kind", "line 1"),
        ("def get_config():\n    return {}['steps']\n", "KeyError", "line 2"),
        (
            "import tlj.config\ndef get_config():\n    tlj.config.default().modle = 3\n",
            'Did you mean "model"',
            "line 3",
        ),
    ],
)
def test_a_file_that_fails_is_bad_input_with_its_line(tmp_path, text, what, line):
    error = refusal(write(tmp_path, "a.py", text))
    assert what in error.what
    assert line in error.do
    assert "\n" not in str(error)


def test_an_argument_that_is_refused_shows_what_the_file_says(tmp_path):
    text = "def get_config(arg=None):\n    if arg:\n        raise ValueError(f'no model {arg}')\n    return {}\n"
    path = write(tmp_path, "a.py", text)
    error = refusal(f"{path}:rsnet")
    assert error.what == "no model rsnet"
    assert error.where == f"{path}:rsnet"


def test_a_refusal_with_a_nearest_name_keeps_it(tmp_path):
    text = (
        "from tlj.errors import unknown_name\n"
        "def get_config(arg='vit'):\n    raise unknown_name('model', arg, ['vit', 'resnet'])\n"
    )
    path = write(tmp_path, "a.py", text)
    error = refusal(f"{path}:rsnet")
    assert (error.what, error.nearest, error.where) == ("unknown model 'rsnet'", "resnet", f"{path}:rsnet")


def test_an_argument_for_a_file_that_takes_none_is_bad_input(tmp_path):
    path = write(tmp_path, "a.py", "def get_config():\n    return {}\n")
    assert "'resnet' after the colon" in refusal(f"{path}:resnet").what


def test_a_missing_argument_is_bad_input(tmp_path):
    path = write(tmp_path, "a.py", "def get_config(arg):\n    return {}\n")
    assert "nothing after a colon" in refusal(path).what


def test_get_config_must_return_a_mapping(tmp_path):
    assert "returned NoneType" in refusal(write(tmp_path, "a.py", "def get_config():\n    pass\n")).what


def swept(folder, body):
    text = f"def get_config(arg=None):\n    return {{}}\n\ndef sweep(arg=None):\n{body}\n"
    return write(folder, "a.py", text)


def test_a_sweep_yields_overrides_and_gets_the_argument(tmp_path):
    path = swept(tmp_path, "    yield {'seed': 1}\n    yield {'optimizer': {'learning_rate': float(arg or 0)}}")
    assert read_sweep(path) == (pathlib.Path(path), [{"seed": 1}, {"optimizer": {"learning_rate": 0.0}}])
    assert read_sweep(f"{path}:2")[1][1] == {"optimizer": {"learning_rate": 2.0}}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("    yield {'seed': 1}\n    raise ValueError('no more')", r"no more.*line 6"),
        ("    yield 'seed'", r"sweep\(\)\[0\]: sweep yielded str, not overrides"),
        ("    return []", "sweep yielded nothing"),
        ("    return 3", "TypeError"),
    ],
)
def test_a_sweep_that_yields_no_overrides_is_bad_input(tmp_path, body, told):
    with pytest.raises(InputError, match=told):
        read_sweep(swept(tmp_path, body))


def test_a_file_without_a_sweep_says_what_to_define(tmp_path):
    with pytest.raises(InputError, match=r"no sweep; .*define sweep\(arg=None\)"):
        read_sweep(write(tmp_path, "a.py", "def get_config(arg=None):\n    return {}\n"))
