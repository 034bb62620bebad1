"""Times the training step of a peer and the same step of tlj in turns, and prints the ratio.

    python -m tlj.benchmark.peers --peer-python=PYTHON --peer-script=PATH --framework=torch --model=vit_s16 --rounds=5

The peer's environment is its own: PYTHON is its interpreter, and PATH a script that takes --framework, --model,
--train, --batch, --steps, --device, --dtype and --compile and prints one JSON line with ``median_s``. Each side has a
process of its own in every round, and no two run at a time; every step is waited for on both sides. A ratio below 1
says that tlj's step takes less time. --config.a.b=value changes tlj's side alone.
"""

from __future__ import annotations

import math
import pathlib
from collections.abc import Sequence

from tlj import config as configuration
from tlj.benchmark.command import command, exit_code
from tlj.benchmark.peers.same_work import TRAIN, own_overrides
from tlj.benchmark.peers.turns import FRAMEWORKS, Peer, Step, alternate, format_ratio
from tlj.errors import InputError
from tlj.named_paths import check_file
from tlj.training.run_files import write_json

_TIMEOUT = 900.0


def main(argv: Sequence[str]) -> None:
    """Reads the words, measures, prints the ratio of every round and, last, their median."""
    words = command("tlj.benchmark.peers", __doc__)
    words.add_argument("--peer-python", metavar="PYTHON", required=True, help="interpreter of the peer's environment")
    words.add_argument("--peer-script", metavar="PATH", type=pathlib.Path, required=True, help="times the peer's step")
    words.add_argument("--framework", choices=FRAMEWORKS, required=True)
    words.add_argument("--config", metavar="FILE", default="configs/step_time.py", help="tlj's models of real size")
    words.add_argument("--model", default="vit_s16", help="a model that the peer and the file know (vit_s16)")
    words.add_argument("--train", choices=TRAIN, default="all", help="what is trained (all)")
    words.add_argument("--batch", type=int, default=8, help="examples of a step (8)")
    words.add_argument("--steps", type=int, default=7, help="timed steps in each process (7)")
    words.add_argument("--rounds", type=int, default=5, help="rounds of the two (5)")
    words.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where both run (cpu)")
    words.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="what is computed in")
    words.add_argument("--compile", action="store_true", help="the peer compiles its model (torch.compile)")
    words.add_argument("--timeout", metavar="SECONDS", type=float, default=_TIMEOUT, help="of one process (900)")
    words.add_argument(
        "--seconds", metavar="S", type=float, default=math.inf, help="begin no round that would end later than this"
    )
    words.add_argument("--json", metavar="FILE", type=pathlib.Path, help="also write everything to FILE")
    arguments, overrides = words.take(argv)
    for flag in ("batch", "steps", "rounds"):
        if getattr(arguments, flag) < 1:
            raise InputError(f"{getattr(arguments, flag)} {flag}", where=f"--{flag}", do="give 1 or more")
    if not arguments.timeout > 0:
        raise InputError(f"{arguments.timeout:g} seconds", where="--timeout", do="give more than 0")
    peer = Peer(arguments.peer_python, arguments.peer_script, arguments.framework, arguments.compile)
    peer.check()
    if arguments.json is not None:
        check_file(arguments.json, "--json")
    names = ("config", "model", "train", "batch", "steps", "device", "dtype")
    step = Step(*(getattr(arguments, name) for name in names), overrides=tuple(overrides))
    plain = own_overrides(step.model, step.train, step.batch, step.dtype)
    configuration.load(f"{step.config}:{step.model}", [*plain, *overrides])
    limits = (arguments.rounds, arguments.timeout, lambda line: print(line, flush=True), arguments.seconds)
    measured = alternate(peer, step, *limits)
    print(format_ratio(measured), flush=True)
    if arguments.json is not None:
        write_json(arguments.json, measured)


if __name__ == "__main__":
    raise SystemExit(exit_code(main))
