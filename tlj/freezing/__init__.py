"""What trains, how fast, and the proof that the rest did not move: partition, strategies, optimizer, modes, digests."""
