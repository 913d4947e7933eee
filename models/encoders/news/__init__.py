"""Encoders of the text of an article."""
