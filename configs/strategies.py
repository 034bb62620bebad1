"""Every strategy on handwritten digits, each in the few lines that it takes.

    tlj plan    --config=configs/strategies.py:gradual                        # what trains when, before it does
    tlj train   --config=configs/strategies.py:gradual --workdir=runs/gradual --config.model.source=runs/digits/source
    tlj sweep   --config=configs/strategies.py --workdir=runs/each --config.model.source=runs/digits/source  # one each
    tlj compare --config=configs/strategies.py --workdir=runs/strategies      # all of them against scratch

Each entry of ``STRATEGIES`` is what a config has to say, over that of ``configs/digits.py``; the comment says where the
strategy comes from.

Test accuracy in %, mean of 5 seeds [95 % t interval], at 100 and at all 538 labels, and the FLOPs of the training
relative to those of ``full`` (2026-11-21, JAX 0.10.2, two CPU threads; 170 runs in six minutes):

    scratch                           67.9 [61.0, 74.7]   87.7 [83.5, 91.9]   1.000
    full                              75.9 [74.6, 77.2]   89.2 [88.3, 90.1]   1.000
    linear_probe                      61.8 [58.7, 64.9]   67.2 [66.4, 68.0]   0.333
    last_blocks:1                     60.8 [56.6, 64.9]   73.8 [72.4, 75.2]   0.555
    first_blocks:1                    75.1 [69.4, 80.8]   89.0 [86.6, 91.4]   0.793
    blocks:1-2                        62.8 [59.8, 65.9]   78.6 [75.8, 81.4]   0.776
    copy_freeze:2                     62.1 [60.3, 64.0]   74.7 [72.4, 77.0]   0.555
    copy_train:2                      76.1 [71.1, 81.2]   90.6 [88.0, 93.1]   1.000
    lp_ft:40                          76.3 [71.5, 81.1]   89.2 [88.1, 90.4]   0.833
    gradual:20+discriminative:ulmfit  63.3 [60.6, 66.0]   73.1 [71.9, 74.3]   0.833
    discriminative:beit               69.9 [66.5, 73.4]   86.1 [84.8, 87.4]   1.000
    freeze_out                        76.6 [71.2, 82.1]   87.6 [85.1, 90.1]   0.824
    bias_only                         64.2 [59.1, 69.4]   77.0 [75.3, 78.8]   0.696
    norm_only                         62.5 [57.4, 67.5]   75.1 [73.9, 76.3]   0.694
    lora:4                            68.6 [64.3, 72.9]   83.0 [81.3, 84.7]   0.769
    full+l2_sp                        64.0 [58.8, 69.2]   86.5 [83.6, 89.4]   1.001
    rules                             72.4 [68.8, 76.0]   86.8 [85.3, 88.2]   0.768

Nothing was tuned but the rates declared below, the pretrained backbone is one run, and 160 steps are few for what
starts slowly (``gradual``): a demonstration, not a ranking.
"""

import pathlib
from collections.abc import Iterator, Mapping

from ml_collections import ConfigDict

from tlj import config as configuration
from tlj.errors import unknown_name

STRATEGIES = {
    # The twin: the same architecture, data, order and head, from scratch.
    "scratch": dict(strategy="scratch"),
    # Fine-tuning of everything.
    "full": dict(strategy="full"),
    # Feature extraction (Kornblith et al. 2019). A head alone takes a higher rate.
    "linear_probe": dict(strategy="linear_probe", optimizer=dict(learning_rate=3e-2)),
    # The last k blocks and the head.
    "last_blocks": dict(strategy="last_blocks:1"),
    # Surgical fine-tuning (Lee et al. 2023): the first k blocks, or blocks i to j counted from 0, and the head.
    "first_blocks": dict(strategy="first_blocks:1"),
    "blocks": dict(strategy="blocks:1-2"),
    # AnB and AnB+ (Yosinski et al. 2014): the first n blocks copied and frozen, or copied and trained; the rest anew.
    "copy_freeze": dict(strategy="copy_freeze:2"),
    "copy_train": dict(strategy="copy_train:2"),
    # LP-FT (Kumar et al. 2022): the head first, for some steps or until its validation loss is flat (lp_ft:plateau).
    "lp_ft": dict(strategy="lp_ft:40"),
    # ULMFiT (Howard & Ruder 2018): thawing depth by depth, rates that fall with depth, slanted triangular schedule.
    "gradual": dict(strategy="gradual:20+discriminative:ulmfit", optimizer=dict(schedule="slanted_triangular")),
    # Layer-wise decay alone; presets ulmfit, electra, electra_large, beit, beit_large, or a factor.
    "discriminative": dict(strategy="discriminative:beit"),
    # FreezeOut (Brock et al. 2017): freezing from the embedding up, on a schedule.
    "freeze_out": dict(strategy="freeze_out"),
    # BitFit (Ben Zaken et al. 2022), and norms alone (Frankle et al. 2021).
    "bias_only": dict(strategy="bias_only", optimizer=dict(learning_rate=3e-2)),
    "norm_only": dict(strategy="norm_only", optimizer=dict(learning_rate=3e-2)),
    # LoRA (Hu et al. 2021) on queries, values and the MLP.
    "lora": dict(strategy="lora:4", lora=dict(targets=("query", "value", "up", "down"))),
    # L2-SP (Li et al. 2018): a pull towards the pretrained weights, on top of any strategy.
    "l2_sp": dict(strategy="full+l2_sp"),
    # One's own: the attention and the head train, the head ten times as fast; first match wins.
    "rules": dict(
        strategy="rules",
        rules=(("head/.*", "head"), (".*/attention/.*", "attention"), (".*", "frozen")),
        groups=dict(head=dict(learning_rate_factor=10.0)),
    ),
}


def get_config(name: str | None = None) -> ConfigDict:
    """Returns one strategy's run, or the comparison of all.

    Args:
      name: a key of ``STRATEGIES``; None is the comparison.
    """
    base = configuration.load(str(pathlib.Path(__file__).with_name("digits.py")))
    base.declared = {}
    if name is None:
        arms = {changes["strategy"]: dict(changes) for changes in STRATEGIES.values()}
        declared = {
            arm: {key: value for key, value in changes.items() if key != "strategy"} for arm, changes in arms.items()
        }
        changes = dict(arms=tuple(arms), label_budgets=(100, "all"), declared={a: d for a, d in declared.items() if d})
        return configuration.merge(base, changes)
    if name not in STRATEGIES:
        raise unknown_name("strategy", name, STRATEGIES)
    return configuration.merge(base, STRATEGIES[name])


def sweep(name: str | None = None) -> Iterator[Mapping]:
    """Yields what each member of `tlj sweep` changes: one strategy, in one run.

    Args:
      name: a key of ``STRATEGIES``, of which the config is already; None is all of them.
    """
    yield from STRATEGIES.values() if name is None else [{}]
