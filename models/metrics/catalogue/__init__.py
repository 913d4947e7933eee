"""Metrics of lists that are ranked from the whole catalogue."""
