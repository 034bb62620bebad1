"""Which kernel of attention a run takes, on devices of each kind."""

import re
import types
import warnings

import jax
import numpy as np
import pytest

from tlj.errors import InputError
from tlj.models.attention.kernels import XLA
from tlj.models.attention.self_attention import attend
from tlj.models.registry import FAMILIES
from tlj.training import kernels as chosen
from tlj.training.kernels import check_kernels, resolve_kernels

VIT, RESNET = FAMILIES["vit"], FAMILIES["resnet"]


class Device:
    """A device that is not here."""

    def __init__(self, platform):
        self.platform = platform


def mesh_of(platform, count=2):
    """All that is asked of a mesh."""
    return types.SimpleNamespace(devices=np.array([Device(platform) for _ in range(count)]))


def config(kernel="auto", dtype="bfloat16", softmax="float32"):
    return {"attention": {"kernel": kernel, "softmax": softmax}, "dtype": dtype}


@pytest.mark.parametrize(
    ("platform", "asked", "expected"),
    [
        ("tpu", config(), "flash"),
        ("tpu", config(dtype="float32"), "flash"),
        ("tpu", config("xla"), "xla"),
        ("tpu", config("flash"), "flash"),
        ("tpu", config(softmax="compute"), "xla"),
        ("gpu", config(), "cudnn"),
        ("gpu", config(dtype="float32"), "xla"),
        ("gpu", config("cudnn"), "cudnn"),
        ("cpu", config(), "xla"),
        ("cpu", config(softmax="compute"), "xla"),
    ],
)
def test_auto_is_the_kernel_of_the_platform_where_it_computes_in_these_types(platform, asked, expected):
    mesh = mesh_of(platform)
    check_kernels(asked, mesh, VIT)
    found = resolve_kernels(asked, mesh, VIT, divides=True)
    assert (found.attention, found.softmax) == (expected, asked["attention"]["softmax"])


def test_a_kernel_of_ours_is_divided_by_hand_where_a_program_sees_the_global_batch():
    mesh = mesh_of("tpu")
    assert resolve_kernels(config(), mesh, VIT, divides=True).mesh is mesh
    assert resolve_kernels(config(), mesh, VIT, divides=False).mesh is None
    assert resolve_kernels(config(), mesh_of("gpu"), VIT, divides=True).mesh is None


@pytest.mark.parametrize(
    ("platform", "asked", "line"),
    [
        ("cpu", config("cudnn"), "config.attention.kernel: cudnn is a kernel for GPUs, and this is a CPU; use auto"),
        ("cpu", config("flash"), "config.attention.kernel: flash is a kernel for TPUs, and this is a CPU; use auto"),
        ("tpu", config("cudnn"), "cudnn is a kernel for GPUs, and this is a TPU"),
        ("gpu", config("cudnn", "float32"), "cuDNN's attention computes in 16 bits; set config.dtype to bfloat16"),
        ("tpu", config("flash", softmax="compute"), "config.attention.softmax: softmax of flash is float32; leave it"),
    ],
)
def test_a_kernel_that_is_not_there_is_refused_where_a_model_has_attention(platform, asked, line):
    mesh = mesh_of(platform)
    with pytest.raises(InputError, match=re.escape(line)):
        check_kernels(asked, mesh, VIT)
    check_kernels(asked, mesh, RESNET)
    assert resolve_kernels(asked, mesh, RESNET, divides=True) == XLA


@pytest.fixture
def accelerator(monkeypatch):
    """A mesh of a GPU that is here, with ``computes`` in place of its kernel: ``accelerator(computes)``."""
    mesh = mesh_of("gpu", 1)
    chosen._problem.cache_clear()

    def make(computes):
        def attention(projected, heads, mask, kernels):
            return (
                computes(attend(projected, heads, mask, XLA)) if kernels != XLA else attend(projected, heads, mask, XLA)
            )

        monkeypatch.setattr(chosen.jax, "local_devices", lambda: list(mesh.devices))
        monkeypatch.setattr(chosen, "attend", attention)
        return mesh

    yield make
    chosen._problem.cache_clear()


def fails(mixed):
    raise RuntimeError("no such engine\nand much more")


@pytest.mark.parametrize(
    ("computes", "problem"),
    [
        (lambda mixed: mixed * 2, "it differs from XLA by "),
        (lambda mixed: mixed * np.nan, "it differs from XLA by nan"),
        (jax.lax.stop_gradient, "it differs from XLA by "),
        (fails, "no such engine$"),
    ],
)
def test_a_kernel_that_is_wrong_or_fails_here_is_left_out_with_a_warning(accelerator, computes, problem):
    mesh = accelerator(computes)
    with pytest.warns(UserWarning, match=f"attention.kernel: cudnn is left out, XLA computes attention: {problem}"):
        assert resolve_kernels(config(), mesh, VIT, divides=True) == XLA
    # Who asks for it by name gets it, and its error.
    assert resolve_kernels(config("cudnn"), mesh, VIT, divides=True).attention == "cudnn"


def test_a_kernel_that_agrees_is_tried_once_and_never_for_a_model_without_attention(accelerator):
    tried = []
    mesh = accelerator(lambda mixed: tried.append(1) or mixed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert resolve_kernels(config(), mesh, RESNET, divides=True) == XLA
        assert not tried
        for _ in range(2):
            assert resolve_kernels(config(), mesh, VIT, divides=True).attention == "cudnn"
    assert len(tried) == 1


def test_a_run_is_refused_before_any_work_and_asks_for_xla_here(tiny_run):
    with pytest.raises(InputError, match="cudnn is a kernel for GPUs, and this is a CPU"):
        tiny_run(attention={"kernel": "cudnn"})
    assert tiny_run().kernels == XLA
    assert tiny_run("resnet", attention={"kernel": "cudnn"}).kernels == XLA
