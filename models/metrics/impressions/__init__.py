"""Metrics of what was shown, ranked within each impression."""
