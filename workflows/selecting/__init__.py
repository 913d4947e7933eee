"""Which rows are kept, and which split each belongs to."""
