"""From a source's name to batches: sources, splits, the order of batches, and preprocessing on the device."""
