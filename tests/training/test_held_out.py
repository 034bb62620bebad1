import jax
import numpy as np
import pyarrow.parquet as pq
import pytest

from tlj.data.splits import SealedTest
from tlj.metric_names import metric_names
from tlj.pretrained.initialise import initial_variables
from tlj.training.compiled import initial_state
from tlj.training.held_out import final_metrics, predict_held_out, validate
from tlj.training.inputs import evaluation_inputs
from tlj.training.programs import Programs
from tlj.training.run_files import read_predictions
from tlj.training.task_metrics import loss_and_accuracy

PROGRAMS = Programs()


@pytest.fixture(scope="module", params=["vit", "resnet"])
def run(request, tiny_run):
    """A setup and its state, with weights and statistics that no init gives."""
    setup = tiny_run(request.param)
    variables, _ = initial_variables("scratch", setup.spec, None, 0)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda leaf: leaf + rng.uniform(0, 0.3, leaf.shape).astype(np.float32), dict(variables))
    return setup, initial_state(setup, setup.phases[0], variables, PROGRAMS)


def logits_by_hand(setup, state, examples):
    """What the module itself says of examples, in evaluation mode."""
    inputs = evaluation_inputs(setup.source.batch(examples), setup.preprocessing)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    return np.asarray(jax.jit(lambda v, x: setup.module.apply(v, x, train=False))(variables, inputs))


def test_validation_is_of_the_validation_part_in_evaluation_mode(run):
    setup, state = run
    found = validate(setup, PROGRAMS, state)
    examples = setup.split.validation
    loss, accuracy = loss_and_accuracy(logits_by_hand(setup, state, examples), setup.source.labels[examples])
    assert found == {"validation_loss": pytest.approx(loss, rel=1e-4), "validation_accuracy": pytest.approx(accuracy)}


def test_predictions_are_of_the_validation_part_and_of_the_test_split_opened_once(run, tmp_path):
    setup, state = run
    sealed = SealedTest(setup.split.test)
    predict_held_out(setup, PROGRAMS, state, sealed, tmp_path / "p.parquet")
    assert sealed.opened == 1
    table = pq.read_table(tmp_path / "p.parquet").to_pydict()
    for name in ("validation", "test"):
        rows = [i for i, part in enumerate(table["split"]) if part == name]
        examples = getattr(setup.split, name)
        assert [table["id"][i] for i in rows] == [setup.source.ids[i] for i in examples]
        np.testing.assert_array_equal([table["label"][i] for i in rows], setup.source.labels[examples])
        expected = logits_by_hand(setup, state, examples)
        np.testing.assert_allclose([table["logits"][i] for i in rows], expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(RuntimeError, match="opened already"):
        predict_held_out(setup, PROGRAMS, state, sealed, tmp_path / "again.parquet")


def test_final_metrics_are_those_of_the_predictions(run, tmp_path):
    setup, state = run
    predict_held_out(setup, PROGRAMS, state, SealedTest(setup.split.test), tmp_path / "p.parquet")
    metrics = final_metrics(setup, tmp_path / "p.parquet")
    assert metrics.keys() == {"validation_loss", "validation_accuracy", "test_loss", "test_accuracy"}
    validated = validate(setup, PROGRAMS, state)
    assert {name: metrics[name] for name in validated} == pytest.approx(validated, rel=1e-5)
    examples = setup.split.test
    loss, accuracy = loss_and_accuracy(logits_by_hand(setup, state, examples), setup.source.labels[examples])
    assert (metrics["test_loss"], metrics["test_accuracy"]) == (pytest.approx(loss, rel=1e-4), pytest.approx(accuracy))


@pytest.mark.parametrize("task", ["binary", "multilabel", "regression"])
def test_other_tasks_are_validated_and_tested_in_their_own_unit(tiny_run, tmp_path, task):
    source = {"source": "synthetic:8x2" if task == "binary" else "synthetic:8x5", "augment": {"shift": 0}}
    setup = tiny_run(task=task, data=source)
    variables, _ = initial_variables("scratch", setup.spec, None, 0)
    state = initial_state(setup, setup.phases[0], variables, PROGRAMS)
    found = validate(setup, PROGRAMS, state)
    assert tuple(found) == metric_names(task)
    predict_held_out(setup, PROGRAMS, state, SealedTest(setup.split.test), tmp_path / "p.parquet")
    metrics = final_metrics(setup, tmp_path / "p.parquet")
    assert {name: metrics[name] for name in found} == pytest.approx(found)
    assert set(metrics) - set(found) == set(metric_names(task, part="test"))
    logits, labels = read_predictions(tmp_path / "p.parquet")["test"]
    np.testing.assert_array_equal(labels, setup.source.labels[setup.split.test])
    outputs = logits_by_hand(setup, state, setup.split.test)
    if task == "regression":
        train = setup.source.labels[setup.split.train]
        outputs = outputs * train.std() + train.mean()
    wanted = np.concatenate([np.zeros_like(outputs), outputs], 1) if task == "binary" else outputs
    np.testing.assert_allclose(logits, wanted, rtol=1e-4, atol=1e-5)
