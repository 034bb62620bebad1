"""Models of real size on noise: what a step costs, by how much of the model trains. Nothing is learned here.

    tlj bench --config=configs/step_time.py:vit_s16 --strategies=linear_probe,last_blocks:1,last_blocks:4,full
    tlj plan  --config=configs/step_time.py:bert_base --config.strategy=last_blocks:1 --config.global_batch_size=32
    python -m tlj.benchmark.peers --model=minilm --framework=torch --peer-python=PYTHON --peer-script=PATH

The last takes turns with a peer that has an environment of its own; ``--help`` says how. Batch 8, float32. The first
command, on two CPU cores that had nothing else to do (2026-11-21, JAX 0.10.2):

    strategy       phase  step      p5 to p95          examples/s  time   FLOPs  MFU  compile  memory
    linear_probe   0      454 ms    438 to 459 ms      17.6        0.253  0.339  -    1.1 s    112 MiB
    last_blocks:1  0      559 ms    548 to 584 ms      14.3        0.315  0.394  -    2.2 s    197 MiB
    last_blocks:4  0      877 ms    872 to 896 ms      9.1         0.495  0.558  -    2.7 s    503 MiB
    full           0      1,763 ms  1,759 to 1,856 ms  4.5         1.000  1.000  -    4.3 s    1,310 MiB

Seconds are those of that machine; what carries over is ``time`` and ``FLOPs``, relative to ``full``.
"""

from ml_collections import ConfigDict

from tlj import config as configuration
from tlj.errors import unknown_name

# Dosovitskiy et al. 2021 and Steiner et al. 2021 at 224 pixels, He et al. 2015; at 128 tokens Devlin et al. 2019, and
# the BERT of all-MiniLM-L6-v2 (Wang et al. 2020).
MODELS = {
    "vit_s16": dict(family="vit", settings=dict(patch_size=16, width=384, depth=12, heads=6)),
    "vit_b16": dict(family="vit", settings=dict(patch_size=16, width=768, depth=12, heads=12)),
    "resnet50": dict(family="resnet", settings=dict(block="bottleneck", stage_depths=(3, 4, 6, 3))),
    "bert_base": dict(family="bert", settings=dict(width=768, depth=12, heads=12)),
    "minilm": dict(family="bert", settings=dict(width=384, depth=6, heads=12, mlp_width=1536)),
}


def get_config(model: str | None = None) -> ConfigDict:
    """Returns one run from scratch.

    Args:
      model: a key of ``MODELS``; ``vit_s16`` where it is left out.
    """
    model = model or "vit_s16"
    if model not in MODELS:
        raise unknown_name("model", model, MODELS)
    changes = dict(
        model=MODELS[model],
        data=dict(source="synthetic_text:128x10" if MODELS[model]["family"] == "bert" else "synthetic:224x10"),
        init="scratch",
        global_batch_size=8,
    )
    return configuration.merge(configuration.default(), changes)
