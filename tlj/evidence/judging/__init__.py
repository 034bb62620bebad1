"""Judging: means with intervals, paired differences, and the verdicts on them."""
