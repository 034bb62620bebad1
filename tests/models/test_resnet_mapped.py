"""BatchNorm in a program that is mapped over devices."""

import jax
import numpy as np

from tlj.models.registry import build


def test_norms_over_a_mapped_axis_take_the_statistics_of_the_global_batch(random_spec, random_variables, random_inputs):
    spec = random_spec("resnet", 1)
    variables, batch = random_variables(spec), random_inputs(spec, 8)

    def step(axis_name):
        module = build(spec, axis_name=axis_name)

        def loss(params, images):
            changed = {**variables, "params": params}
            logits, updated = module.apply(changed, images, train=True, mutable=["batch_stats"])
            return (logits**2).sum(-1).mean(), (logits, updated)

        def results(params, images):
            (_, (logits, updated)), gradients = jax.value_and_grad(loss, has_aux=True)(params, images)
            return logits, updated, jax.lax.pmean(gradients, axis_name) if axis_name else gradients

        return results

    logits, updated, gradients = jax.jit(step(None))(variables["params"], batch)
    mapped = jax.jit(jax.vmap(step("device"), in_axes=(None, 0), axis_name="device"))
    mapped_logits, *by_device = mapped(variables["params"], batch.reshape(4, 2, *batch.shape[1:]))

    def near(found, expected):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * max(1, np.abs(expected).max()))

    near(mapped_logits.reshape(logits.shape), logits)
    # Every device has the same.
    expected = jax.tree.map(lambda leaf: np.stack(4 * [leaf]), [updated, gradients])
    jax.tree.map(near, by_device, expected)
