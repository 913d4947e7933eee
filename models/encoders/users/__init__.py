"""Encoders of a user's history."""
