"""What a logistic regression makes of frozen features of sentences, by labels: a check of ``linear_probe``.

    python -m tests.parity.sst2_probe SOURCE DATA [--draws=5]

The features are those of tlj, the regression is scikit-learn's (C = 1). Each draw takes its labelled sentences without
replacement, the same for every row: all of them, and the four fifths that a run of tlj trains on.
"""

import argparse
import pathlib

import numpy as np
from sklearn.linear_model import LogisticRegression

from tlj import config as configuration
from tlj.training.features import extract_features
from tlj.training.initial import run_variables
from tlj.training.programs import Programs
from tlj.training.setup import set_up

BUDGETS = (50, 200, 1000, 4000, 8000)


def main() -> None:
    """Prints the accuracy on the dev set by labels: mean, standard deviation, smallest and largest of the draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("data")
    parser.add_argument("--draws", type=int, default=5)
    arguments = parser.parse_args()

    names = [f"model.source={arguments.source}", f"data.source=tsv:{arguments.data}"]
    config = configuration.load("configs/sst2_minilm.py", names)
    setup = set_up(configuration.run_config(config, strategy="linear_probe"), pathlib.Path.cwd())
    variables, _ = run_variables("pretrained", setup.spec, setup.pretrained, 0)
    train, dev = (np.asarray(setup.source.parts[part]) for part in ("train", "dev"))
    draws = [np.random.default_rng(seed).permutation(train)[: max(BUDGETS)] for seed in range(arguments.draws)]
    needed = np.unique(np.concatenate([*draws, dev]))
    features = extract_features(setup, Programs(), variables, needed).pooled
    labels = setup.source.labels

    def accuracy(chosen):
        model = LogisticRegression(max_iter=5000)
        model.fit(features[np.searchsorted(needed, chosen)], labels[chosen])
        return model.score(features[np.searchsorted(needed, dev)], labels[dev])

    print("labels   trained on   mean      sd   from     to")
    for budget in BUDGETS:
        for size in (budget, budget * 4 // 5):
            found = np.array([accuracy(draw[:size]) for draw in draws])
            row = (found.mean(), found.std(ddof=1), found.min(), found.max())
            print(f"{budget:6} {size:12} {row[0]:7.3f} {row[1]:7.3f} {row[2]:6.3f} {row[3]:6.3f}")


if __name__ == "__main__":
    main()
