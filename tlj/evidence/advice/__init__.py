"""Advice: which measured way of training to take for a label price, a budget and a target, and what to run next."""
