import jax
import numpy as np
import pytest

from tlj.models.convolution import convolution

CASES = {
    "3 x 3": (3, 1, 1, 6),
    "3 x 3, stride 2, odd image": (3, 2, 1, 7),
    "3 x 3, stride 2, even image": (3, 2, 1, 6),
    "1 x 1": (1, 1, 0, 5),
    "1 x 1, stride 2, odd image": (1, 2, 0, 5),
    "1 x 1, stride 2, even image": (1, 2, 0, 6),
    "7 x 7, stride 2": (7, 2, 3, 10),
}


def _plain(x, kernel, strides, padding):
    return jax.lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_those_of_the_convolution(case):
    size, stride, pad, side = CASES[case]
    draw = np.random.default_rng(0)
    x = draw.standard_normal((2, side, side, 3), dtype=np.float32)
    kernel = draw.standard_normal((size, size, 3, 4), dtype=np.float32)
    how = ((stride, stride), [(pad, pad), (pad, pad)])
    gradient = draw.standard_normal(
        jax.eval_shape(lambda x, kernel: _plain(x, kernel, *how), x, kernel).shape, dtype=np.float32
    )

    def both(function):
        def of(x, kernel):
            value, pull = jax.vjp(lambda x, kernel: function(x, kernel, *how), x, kernel)
            return value, *pull(gradient)

        return jax.jit(of)(x, kernel)

    for found, expected in zip(both(convolution), both(_plain), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_on_a_cpu_no_gradient_of_a_kernel_is_a_convolution():
    x, kernel = np.zeros((2, 6, 6, 3), np.float32), np.zeros((3, 3, 3, 4), np.float32)

    def convolutions(function):
        loss = jax.grad(lambda kernel: function(x, kernel, (1, 1), [(1, 1), (1, 1)]).sum())
        return jax.jit(loss).lower(kernel).as_text().count("stablehlo.convolution")

    assert convolutions(_plain) == 1
    assert convolutions(convolution) == 0


def test_a_frozen_kernel_costs_no_gradient():
    x, kernel = np.zeros((2, 8, 8, 4), np.float32), np.zeros((3, 3, 4, 4), np.float32)

    def flops(arguments):
        loss = jax.grad(lambda x, k: (convolution(x, k, (1, 1), [(1, 1), (1, 1)]) ** 2).sum(), argnums=arguments)
        return jax.jit(loss).lower(x, kernel).compile().cost_analysis()["flops"]

    # Forward and gradient of the images, and not the third of all that the gradient of the kernel would be.
    assert flops(0) < 0.75 * flops((0, 1))
