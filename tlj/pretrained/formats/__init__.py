"""Checkpoints of other origins: what their files say of a model, and which of their arrays make which leaf."""
