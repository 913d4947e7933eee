"""Filter rows, and assign each to a split."""
