"""The families of transformers that tlj reads and writes."""

from __future__ import annotations

from tlj.pretrained.formats.huggingface.bert import BERT
from tlj.pretrained.formats.huggingface.resnet import RESNET
from tlj.pretrained.formats.huggingface.vit import VIT

FAMILIES = {family.model_type: family for family in (VIT, RESNET, BERT)}
