"""Flax Linen modules: the families, their shared layers and the registry."""
