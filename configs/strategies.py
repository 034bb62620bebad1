"""Every strategy on handwritten digits, each in the few lines that it takes.

    tlj plan    --config=configs/strategies.py:gradual                        # what trains when, before it does
    tlj train   --config=configs/strategies.py:gradual --workdir=runs/gradual --config.model.source=runs/digits/source
    tlj compare --config=configs/strategies.py --workdir=runs/strategies      # all of them against scratch

Each entry of ``STRATEGIES`` is what a config has to say, over that of ``configs/digits.py``; the comment says where the
strategy comes from. FIGURES
"""

import pathlib

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
