"""The verb ``advise`` of the command line, thin: it reads its arguments, asks, and prints the answer."""

from __future__ import annotations

import argparse
import json

from tlj.named_paths import existing_folder


def advise(arguments: argparse.Namespace) -> None:
    """Says what to train, with how many labels, for how much, and what to run next."""
    folder = existing_folder(arguments.folder, arguments.verb)
    # Heavy, so that help and mistakes are answered at once.
    from tlj.evidence.advice.advise import advise_on
    from tlj.evidence.advice.question import Question

    question = Question(arguments.label_cost, arguments.workers_per_label, arguments.budget, arguments.target)
    advice = advise_on(folder, question, arguments.prices)
    print(json.dumps(advice, indent=2, allow_nan=False) if arguments.json else advice["text"], flush=True)
