"""Self-attention, and the kernels that can compute it."""
