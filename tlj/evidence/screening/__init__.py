"""Scores of features before any training, and how far training has moved them: a screening, never a verdict."""
