import pytest

from tlj.errors import RunError
from tlj.pretrained.find_checkpoint import checkpoint_steps
from tlj.training.checkpoints import abstract
from tlj.training.damaged import examine, put_in_order, steps_on_disk
from tlj.training.phase_record import PhaseRecord
from tlj.training.run_record import RunRecord


@pytest.fixture
def saved(small_state, small_checkpoints, tmp_path):
    """The directory of three checkpoints."""
    with small_checkpoints(latest=3) as checkpoints:
        for step in (4, 8, 12):
            checkpoints.save(small_state(step), RunRecord(PhaseRecord({})))
    return tmp_path / "checkpoints"


@pytest.fixture
def restore(small_state, small_checkpoints):
    def run():
        import jax

        state = small_state(0)
        with small_checkpoints(latest=3) as checkpoints:
            shapes = abstract(state, jax.tree.map(lambda leaf: leaf.sharding, state))
            return int(checkpoints.restore_latest(lambda phase: shapes)[0].step)

    return run


def largest_file(folder):
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def cut(folder):
    file = largest_file(folder)
    file.write_bytes(file.read_bytes()[:-1])
    return file


def test_whole_checkpoints_are_left_as_they_are(saved, recwarn):
    examined = examine(saved)
    assert (examined.whole, examined.damaged) == ((4, 8, 12), ())
    put_in_order(saved, examined)
    assert steps_on_disk(saved) == [4, 8, 12]
    assert not recwarn.list


def test_a_truncated_one_is_named_and_put_aside_and_the_one_before_it_used(saved, restore):
    name = cut(saved / "12").relative_to(saved / "12")
    with pytest.warns(
        UserWarning, match=rf"tlj: .*step 12 is damaged \({name} has .*12.damaged; step 8 is used instead"
    ):
        assert restore() == 8
    assert {path.name for path in saved.iterdir()} == {"4", "8", "12.damaged"}
    assert largest_file(saved / "12.damaged").stat().st_size > 0


def test_any_file_of_a_checkpoint_that_is_gone_or_cut_makes_the_one_before_it_the_latest(saved):
    files = [path for path in (saved / "12").rglob("*") if path.is_file()]
    assert len(files) > 6
    for file in files:
        content = file.read_bytes()
        for left in (b"", content[: len(content) // 2]):
            file.write_bytes(left)
            assert examine(saved).whole == (4, 8), file
        file.unlink()
        assert examine(saved).whole == (4, 8), file
        file.write_bytes(content)
    assert examine(saved).damaged == ()


def test_several_in_a_row_are_passed_over_and_nothing_is_overwritten(saved, restore):
    (saved / "12.damaged").mkdir()
    cut(saved / "12")
    (saved / "8" / "state" / "_METADATA").unlink()
    with pytest.warns(UserWarning, match="tlj: ") as told:
        assert restore() == 4
    assert [str(warning.message).partition("(")[0] for warning in told] == [
        "tlj: the checkpoint of step 12 is damaged ",
        "tlj: the checkpoint of step 8 is damaged ",
    ]
    assert {path.name for path in saved.iterdir()} == {"4", "12.damaged", "12.damaged2", "8.damaged"}
    assert not list((saved / "12.damaged").iterdir())


def test_a_damaged_one_before_the_latest_is_of_no_concern(saved, restore, recwarn):
    cut(saved / "4")
    assert restore() == 12
    assert not recwarn.list


def test_where_all_are_damaged_the_run_stops_and_nothing_is_touched(saved, restore):
    for step in (4, 8, 12):
        cut(saved / str(step))
    before = {path: path.stat().st_mtime_ns for path in saved.rglob("*")}
    with pytest.raises(RunError, match=r"every checkpoint is damaged \(step 12: .* step 8: .* step 4: "):
        restore()
    assert {path: path.stat().st_mtime_ns for path in saved.rglob("*")} == before


def test_the_step_of_a_damaged_one_can_be_saved_again(saved, small_state, small_checkpoints):
    cut(saved / "12")
    examined = examine(saved)
    with pytest.warns(UserWarning, match="12.damaged"):
        put_in_order(saved, examined)
    with small_checkpoints(latest=3) as checkpoints:
        checkpoints.save(small_state(12), RunRecord(PhaseRecord({})))
    assert checkpoint_steps(saved.parent) == [4, 8, 12]
    assert (saved / "12.damaged").is_dir()
    assert examine(saved).damaged == ()


def test_one_of_another_format_is_not_taken_for_a_damaged_one(saved):
    path = saved / "12" / "_CHECKPOINT_METADATA"
    path.write_text(path.read_text().replace('"format": 2', '"format": 1'))
    assert examine(saved).whole == (4, 8, 12)


def test_a_directory_without_checkpoints_is_in_order(tmp_path):
    assert examine(tmp_path / "none").whole == ()
    put_in_order(tmp_path / "none", examine(tmp_path / "none"))
    assert not (tmp_path / "none").exists()
