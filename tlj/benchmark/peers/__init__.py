"""A step of tlj beside the same step of what a user would run instead, in turns on one machine."""
