"""What does not change is computed once: activations at a freeze boundary, kept on disk, that steps start from."""
