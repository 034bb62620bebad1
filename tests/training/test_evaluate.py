import numpy as np
import pytest

from tlj.training.compiled import evaluate_program
from tlj.training.evaluate import loss_and_accuracy, predict
from tlj.training.parallel import batch_sharding
from tlj.training.programs import Programs
from tlj.training.setup import variable_shapes


def test_loss_and_accuracy_by_hand():
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]], np.float32))
    loss, accuracy = loss_and_accuracy(logits, np.array([0, 1]))
    assert loss == pytest.approx(-(np.log(0.5) + np.log(0.1)) / 2, rel=1e-6)
    assert accuracy == 0.5


def test_huge_logits_give_a_finite_loss():
    loss, _ = loss_and_accuracy(np.array([[1e4, -1e4]], np.float32), np.array([1]))
    assert loss == pytest.approx(2e4)


def test_what_is_predicted_does_not_depend_on_the_batch_size_or_the_padding(tiny_run):
    from tlj.pretrained.initialise import initial_variables

    examples = np.arange(3, 40)
    results = []
    for batch_size in (5, 16, 64):
        setup = tiny_run(evaluate={"batch_size": batch_size})
        variables, _ = initial_variables("scratch", setup.spec, None, 0)
        program = evaluate_program(setup, Programs())
        results.append(predict(program.call, variables, setup.source, examples, batch_size, batch_sharding(setup.mesh)))
    assert results[0].shape == (37, variable_shapes(setup.spec)["params"]["head"]["bias"].size)
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(results[0], results[2], rtol=1e-5, atol=1e-6)
    assert len(np.unique(results[0].round(4), axis=0)) == 37
