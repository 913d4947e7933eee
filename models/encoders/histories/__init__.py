"""Encoders of a user's history of items."""
