import json

from tlj.experiments.failures import failed_attempts, forget_failure, is_given_up, note_failure


def test_a_run_is_given_up_after_its_second_failure_and_taken_up_when_it_is_forgotten(tmp_path):
    run = tmp_path / "runs" / "full"
    assert (failed_attempts(run), is_given_up(run)) == (0, False)
    assert note_failure(run, ValueError("first")) == 1
    assert not is_given_up(run)
    assert note_failure(run, ValueError("second")) == 2
    assert is_given_up(run)
    assert json.loads((run / "failed.json").read_text()) == {"attempts": 2, "error": "ValueError: second"}
    forget_failure(run)
    forget_failure(run)
    assert not is_given_up(run)
