"""Makes ``topologies.json``: what the TPU compiler says of the training step of a ViT-B/16 on v5e:4x4.

Run in an environment with ``tlj[tpu]``, from the root of the repository: ``python tests/golden/make_topologies.py``. It
takes two minutes a batch.
"""

import dataclasses
import importlib.metadata
import json
import pathlib

from tlj import config as configuration
from tlj.benchmark.topology.compiler import Compiler
from tlj.benchmark.topology.slices import parse_slices

BATCHES = (128, 64)


def main() -> None:
    """Writes the file beside this script."""
    (slice_,) = parse_slices("v5e:4x4")
    answers = {}
    with Compiler(pathlib.Path()) as compiler:
        for batch in BATCHES:
            changes = ["dtype=bfloat16", f"global_batch_size={batch * slice_.chips}"]
            config = configuration.load("configs/step_time.py:vit_b16", changes)
            answers[batch] = dataclasses.asdict(compiler.ask(slice_, configuration.run_config(config), 0))
    versions = {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "libtpu")}
    content = {"versions": versions, "slice": slice_.name, "answers": answers}
    pathlib.Path(__file__).with_name("topologies.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
