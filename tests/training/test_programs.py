import threading

import jax
import jax.numpy as jnp
import pytest

from tlj.training.programs import Programs, count_compilations


def doubled():
    def double(x):
        return 2 * x @ x

    return jax.jit(double)


SQUARE = jax.ShapeDtypeStruct((8, 8), jnp.float32)


def test_a_program_is_compiled_once_however_many_threads_ask_for_it():
    programs, results = Programs(), []
    threads = [
        threading.Thread(target=lambda: results.append(programs.get("double", doubled, SQUARE))) for _ in range(4)
    ]
    with count_compilations() as compiled:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert compiled == {"double": 1}
    assert sum(compiled_here for _, compiled_here in results) == 1
    assert len({id(program) for program, _ in results}) == 1


def test_an_operation_outside_a_program_is_counted_too():
    with count_compilations() as compiled:
        jnp.arange(7.0) * 3.25
    assert sum(compiled.values()) > 0


def test_counting_ends_with_its_context():
    with count_compilations() as compiled:
        pass
    Programs().get("double", doubled, SQUARE)
    assert not compiled


def test_flops_are_those_of_the_matrix_product():
    program, _ = Programs().get("double", doubled, SQUARE)
    assert program.flops == pytest.approx(2 * 8**3, rel=0.2)


def test_peak_memory_is_arguments_and_outputs_and_what_is_in_between():
    def outer(x):
        return jnp.outer(x, x).sum(), jnp.sin(x)

    shape = jax.ShapeDtypeStruct((1024,), jnp.float32)
    program, _ = Programs().get("outer", lambda: jax.jit(outer), shape)
    # At least the argument and both outputs.
    assert program.peak_bytes >= 4 * (1024 + 1 + 1024)


def test_memory_that_is_given_away_is_counted_once():
    def grow(x):
        return x + 1.0

    shape = jax.ShapeDtypeStruct((1024, 1024), jnp.float32)
    kept, _ = Programs().get("kept", lambda: jax.jit(grow), shape)
    given, _ = Programs().get("given", lambda: jax.jit(grow, donate_argnums=0), shape)
    assert kept.peak_bytes - given.peak_bytes == pytest.approx(4 * 1024**2, abs=1024)
