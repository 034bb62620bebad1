"""Makes golden hidden states of a real BERT for 20 sentences of different lengths in one padded batch.

Run with torch 2.13.0 and transformers 4.57.6 installed, on the directory of sentence-transformers/all-MiniLM-L6-v2:

    python tests/golden/make_minilm.py DIRECTORY

Writes ``tests/golden/minilm_sentences.npz``: the sentences, ``input_ids`` and ``attention_mask``, of every layer NAME
all channels of the first token (``first/NAME``) and twelve channels of every token (``channels/NAME``, which are
``chosen``; zero where there is no token), ``pooled``, and ``mean``, the mean of the last hidden states over the real
tokens.
"""

from __future__ import annotations

import pathlib
import sys

import numpy as np
import torch
from random_weights import generator
from torch_parts import every_block, import_torchvision, record

SENTENCES = (
    "Rain.",
    "Stop here!",
    "The kettle is on.",
    "Nobody answered the door.",
    "She paid 3.50 for two apples.",
    "Why does the lighthouse blink twice?",
    "A bee landed on the window and stayed there.",
    "Their train left at 07:45, ten minutes before ours.",
    "An ant carries fifty times its own weight, or so they say.",
    "Das ist kein Problem, he said, and switched back to English.",
    "The experiment failed; the second one, with fewer labels, did not.",
    "Backpropagation through frozen layers is wasted work, unless something below them is trained.",
    "It was neither a comedy nor a tragedy but a long, patient film about a man who repairs clocks.",
    "We measured the same network twice, on the same data, in the same order, and the numbers were equal to the bit.",
    "If the validation loss has not moved for ten epochs, lower the learning rate; if it still does not, stop.",
    "The café's menu listed crème brûlée, jalapeño soup, and a naïve attempt at sushi, all under one faded title.",
    "Unbelievably, antidisestablishmentarianism was the one word in the spelling contest that everybody got right, "
    "while 'rhythm' sent half of the finalists home.",
    "On Monday it rained, on Tuesday it rained, on Wednesday there was fog, on Thursday it rained again, and on "
    "Friday, when we had packed, the sun came out and the whole valley steamed.",
    "The first paragraph states the question. The second describes the data. The third explains how much of the "
    "network was trained and how much was kept. The last one says what was found, and how sure we are of it.",
    "A model that was trained on photographs of ants and bees knows something about legs, wings and leaves; whether "
    "it knows enough about them to help with beetles is a question that only a controlled comparison answers: the same "
    "data, the same order, the same number of steps, and a twin that starts from nothing.",
)


def main(directory: pathlib.Path) -> None:
    """Writes the golden file."""
    import_torchvision()
    from transformers import BertModel, BertTokenizerFast

    model = BertModel.from_pretrained(directory, attn_implementation="eager").eval().float()
    tokens = BertTokenizerFast.from_pretrained(directory)(list(SENTENCES), padding="longest", return_tensors="pt")
    layers = {"embedding": model.embeddings, **every_block(model.encoder.layer)}
    with torch.no_grad(), record(layers) as hidden:
        pooled = model(**tokens).pooler_output.numpy()
    mask = tokens["attention_mask"].numpy().astype(np.float32)
    last = hidden[f"block{model.config.num_hidden_layers - 1}"]
    chosen = np.sort(generator("minilm").choice(model.config.hidden_size, 12, replace=False))
    np.savez_compressed(
        pathlib.Path(__file__).parent / "minilm_sentences.npz",
        sentences=np.array(SENTENCES),
        input_ids=tokens["input_ids"].numpy().astype(np.int32),
        attention_mask=mask.astype(np.int32),
        chosen=chosen.astype(np.int32),
        pooled=pooled,
        mean=(last * mask[..., None]).sum(1) / mask.sum(1, keepdims=True),
        **{f"first/{name}": value[:, 0] for name, value in hidden.items()},
        **{f"channels/{name}": value[:, :, chosen] * mask[..., None] for name, value in hidden.items()},
    )


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
