"""Handling that every request passes: authentication, limits, logs and responses."""
