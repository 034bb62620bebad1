import pytest

from tlj import cli
from tlj.cli_flags import PROCESSES


@pytest.mark.parametrize("verb", ["train", "compare", "find-lr", "bench"])
def test_every_verb_that_trains_can_be_told_which_process_it_is(verb):
    words = [verb, "--config=c.py", "--coordinator=node1:8476", "--processes=4", "--process=2", "--peer-timeout=30"]
    arguments = cli.parse(words)
    assert (arguments.coordinator, arguments.processes, arguments.process) == ("node1:8476", 4, 2)
    assert arguments.peer_timeout == 30
    assert not arguments.single_process


@pytest.mark.parametrize("verb", sorted(set(cli.VERBS) - {"train", "compare", "find-lr", "bench"}))
def test_a_verb_that_does_not_train_has_no_peers(verb):
    assert not set(PROCESSES) & set(cli.VERBS[verb].flags)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--processes=two"], "tlj: train: argument --processes: invalid int value: 'two'; see `tlj train --help`"),
        (["--peer-timeout=0"], "tlj: --peer-timeout: 0 seconds; give more than 0"),
        (["--peer-timeout=nan"], "tlj: --peer-timeout: nan seconds; give more than 0"),
        (
            ["--single-process", "--process=1"],
            "tlj: --single-process: a single process has no peers; leave out --coordinator, --processes and --process, "
            "or --single-process",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_a_line_before_anybody_is_waited_for(words, line, config_file, tmp_path, capsys):
    assert cli.main(["train", f"--config={config_file}", f"--workdir={tmp_path / 'run'}", *words]) == 2
    assert capsys.readouterr().err == line + "\n"
