"""Training batches: one module a kind of row."""
