"""Other places that the rows of ``metrics.jsonl`` are shown in; none of them is what a run is computed from."""
