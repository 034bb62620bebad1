"""What a frozen backbone gives: 45 pairs of learning rate and weight decay at 5 label budgets on 5 seeds, as one study.

    tlj compare --config=configs/probe_study.py --workdir=runs/probe_study --config.model.source=all-MiniLM-L6-v2 \
      --config.data.source=tsv:sst2

1,125 probes of 1,000 steps on the features of MiniLM, of which those of every sentence that any of them reads are
extracted once, in one pass; the 45 trials of a seed and a budget take their steps in one program. Then 25 runs of what
was chosen, on five other seeds, with the test set (``dev``). A comparison has a twin: here probes of random features,
at 200 labels alone, which is 225 trials and 5 runs more.

Accuracy of the chosen on the 872 sentences of ``dev``, mean and interval of five seeds, at 200, 500, 1,000, 4,000 and
16,000 labels: .728 (.717 to .739), .755 (.732 to .778), .779 (.768 to .789), .795 (.788 to .802), .800 (.792 to .808);
of random features .514 at 200. The features take 106 MB.
"""

from ml_collections import ConfigDict

from tlj import config as configuration


def get_config(arg: str | None = None) -> ConfigDict:
    """Returns the comparison; it needs ``config.model.source`` and ``config.data.source``."""
    config = configuration.default()
    config.model.family = "bert"
    config.model.settings = dict(pool="mean")
    # The checkpoint's pooler is not used: its sentences are means over tokens.
    config.model.allow_missing = ("pooler.*",)
    config.data.test = "dev"
    config.data.text.length = 64
    # Features of random weights are the cheapest twin of features of trained ones; it is asked once.
    config.twin = "random"
    config.arms = ("random=linear_probe@scratch", "linear_probe")
    config.label_budgets = (200, 500, 1000, 4000, 16000)
    config.declared = {"random": dict(label_budgets=(200,))}
    config.seeds = (0, 1, 2, 3, 4)
    config.tuning.trials = 45
    config.tuning.search = "grid"
    config.tuning.seeds = (1000, 1001, 1002, 1003, 1004)
    config.tuning.budgets = "each"
    config.tuning.space = {
        "optimizer": {
            "learning_rate": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0),
            "weight_decay": (0.0, 1e-4, 1e-3, 1e-2, 1e-1),
        }
    }
    # Nothing of a frozen backbone drifts, and what its features are worth is what is trained here.
    config.screening.examples = 0
    config.steps = 1000
    config.global_batch_size = 32
    config.optimizer.warmup = "30 steps"
    config.cache.activations = "float32"
    config.experiments.batch_runs = 45
    config.steps_per_call = 100
    config.log.every = 500
    config.log.tensorboard = False
    config.evaluate.batch_size = 256
    config.checkpoint.keep = "trainable"
    config.checkpoint.latest = 1
    return config
