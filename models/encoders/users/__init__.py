"""Encoders of what a user has read."""
