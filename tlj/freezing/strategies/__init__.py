"""Small pure functions from a model's layout to the phases of its training, and the registry of their names."""

from tlj.freezing.strategies.registry import Strategy, control_name, parse_strategy, resolve_init

__all__ = ["Strategy", "control_name", "parse_strategy", "resolve_init"]
