import numpy as np
import pytest

from tlj.training.compiled import evaluate_program
from tlj.training.evaluate import IN_FLIGHT, loss_and_accuracy, predict
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
        programs = Programs()

        def program_of(batch, setup=setup, programs=programs):
            return evaluate_program(setup, programs, batch).call

        results.append(predict(program_of, variables, setup.reader, examples, batch_size, batch_sharding(setup.mesh)))
    assert results[0].shape == (37, variable_shapes(setup.spec)["params"]["head"]["bias"].size)
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(results[0], results[2], rtol=1e-5, atol=1e-6)
    assert len(np.unique(results[0].round(4), axis=0)) == 37


def test_few_batches_wait_for_the_device_however_many_there_are(tiny_run):
    setup, waiting, most = tiny_run(), [], []

    class Late:
        """Logits that are there once somebody has waited for them."""

        def __init__(self, rows):
            self._rows = rows
            waiting.append(self)
            most.append(len(waiting))

        def block_until_ready(self):
            if self in waiting:
                waiting.remove(self)

        def __array__(self, dtype=None, copy=None):
            return np.zeros((self._rows, 5), np.float32)

    variables, sharding = {"params": {}, "batch_stats": {}}, batch_sharding(setup.mesh)

    def program_of(batch):
        return lambda params, statistics, batch: Late(len(batch["label"]))

    assert predict(program_of, variables, setup.reader, np.arange(80), 8, sharding).shape == (80, 5)
    assert (len(most), max(most)) == (10, IN_FLIGHT)
