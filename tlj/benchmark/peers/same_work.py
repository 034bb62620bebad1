"""What tlj has to be told so that its step does the work of a peer's step."""

from __future__ import annotations

from tlj.errors import InputError, unknown_name

_STRATEGIES = {"all": "full", "head": "linear_probe", "last4": "last_blocks:4"}
TRAIN = tuple(_STRATEGIES)
# transformers' classes train their pooler with the head; of these models only BERT has one.
_WITH_POOLER = ("bert_base", "minilm")
_POOLER_AND_HEAD = 'rules=(("head/.*", "head"), ("backbone/pooler/.*", "head"), (".*", "frozen"))'
# Peers know no depth of a ResNet.
_WITHOUT_BLOCKS = ("resnet50",)


def own_overrides(model: str, train: str, batch: int, dtype: str) -> list[str]:
    """Returns overrides of ``configs/step_time.py`` with which a step trains what the peer's does, as it does.

    The peer's update is AdamW without a bound on the gradients. Dropout is left as the models have it, which is as
    transformers has it: none in a ViT, 0.1 after the embedding, on attention weights and before each residual sum of a
    BERT. What is frozen computes here without dropout; a peer leaves it on.

    Args:
      model: its name, as the peer's ``--model`` has it.
      train: ``all``; ``head``, in a BERT with the pooler; or ``last4``, the last four blocks and what ``head`` trains.
      batch: examples.
      dtype: what is computed in.

    Returns:
      ``a.b=value`` each.

    Raises:
      InputError: for another ``train``, or one that the peer does not know of this model.
    """
    if train not in TRAIN:
        raise unknown_name("choice", train, TRAIN, where="--train")
    if train == "last4" and model in _WITHOUT_BLOCKS:
        raise InputError(f"the peers have no last blocks of {model}", where="--train", do="use all or head")
    if train == "head" and model in _WITH_POOLER:
        trained = ["strategy=rules", _POOLER_AND_HEAD]
    else:
        trained = [f"strategy={_STRATEGIES[train]}"]
    return [
        *trained,
        f"global_batch_size={batch}",
        f"dtype={dtype}",
        "optimizer.name=adamw",
        "optimizer.learning_rate=1e-4",
        "optimizer.weight_decay=0.01",
        "optimizer.clip_norm=0",
    ]
