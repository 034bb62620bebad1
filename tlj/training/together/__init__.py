"""Many small runs in one program: their steps are taken together, and all else is each run's own."""
