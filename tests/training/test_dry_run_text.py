import pytest

from tlj.training.dry_run_text import format_dry_run, in_bytes

GROUP = {
    "name": "head", "leaves": 2, "parameters": 85, "share": 1.0, "learning_rate": 0.1, "weight_decay": 0.0,
    "decayed": 0, "learning_rate_range": [0.0, 0.1], "optimizer": "adamw", "schedule": "cosine",
    "norm_mode": "train", "dropout": True,
}  # fmt: skip
FOUND = {
    "load": "pretrained from source: 40 leaves loaded, 2 reset",
    "devices": {"kind": "TPU v5", "count": 8, "processes": 2},
    "mesh": {"data": 4, "fsdp": 2},
    "mode": "jit",
    "batch": {"image": {"shape": [32, 8, 8, 3], "dtype": "uint8"}},
    "phases": [
        {
            "start": 0,
            "start_rule": "step 0",
            "groups": [GROUP],
            "flops": 1.5e12,
            "compile_s": 3.25,
            "peak_bytes": 5 * 2**30,
            "state_bytes": {"parameters": 2**20, "optimizer": 2**21, "other": 0},
        }
    ],
    "leaves": [
        {"path": "params/a", "shape": [3, 4], "dtype": "float32", "bytes": 24, "sharding": ["fsdp"]},
        {"path": "params/b", "shape": [2], "dtype": "float32", "bytes": 8, "sharding": []},
    ],
    "steps": 2,
    "training": {"loss": 1.25, "accuracy": 0.5, "learning_rate": {"head": 0.1}, "rejected": []},
    "validation": {"validation_loss": 1.5, "validation_auroc": None},
}


def test_everything_that_was_found_is_on_a_line():
    lines = format_dry_run("full", FOUND).splitlines()
    assert lines[:3] == [
        "full: pretrained from source: 40 leaves loaded, 2 reset",
        "devices: 8 x TPU v5 in 2 processes; mesh: data 4, fsdp 2; jit",
        "batch: image uint8[32, 8, 8, 3]",
    ]
    assert lines[3] == (
        "phase 0, from step 0: 1.5e+12 FLOPs per step, compiled in 3.2 s; memory of each device 5.0 GiB, of it "
        "parameters 1.0 MiB, optimizer 2.0 MiB"
    )
    assert lines[4].startswith("group")
    assert lines[5].startswith("head")
    assert lines[7:9] == ["  params/a  float32[3, 4]  24 B of each device, over fsdp", "  params/b  float32[2]  8 B"]
    assert lines[9:] == ["2 steps: loss 1.25, accuracy 0.5", "validation: validation_loss 1.5"]


def test_memory_that_the_compiler_does_not_tell_is_unknown_and_a_loss_that_is_not_finite_is_told():
    phase = {**FOUND["phases"][0], "peak_bytes": None}
    found = {**FOUND, "phases": [phase], "training": {"loss": float("nan"), "rejected": [1, 2]}}
    text = format_dry_run("full", found)
    assert "memory of each device unknown" in text
    assert "2 steps: loss nan; not finite at step 1, 2" in text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1,023 B"), (1024, "1.0 KiB"), (3 * 2**40, "3.0 TiB"), (2**51, "2,048.0 TiB")],
)
def test_bytes_are_in_the_unit_that_suits_them(count, text):
    assert in_bytes(count) == text
