"""Step time, FLOPs, and what a config would cost before it runs."""
