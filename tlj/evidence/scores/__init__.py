"""Scores of runs, from their predictions."""
