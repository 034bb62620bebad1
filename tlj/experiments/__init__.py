"""Comparisons: arms and their twins, the grid of runs, and the runner that trains what is missing."""
