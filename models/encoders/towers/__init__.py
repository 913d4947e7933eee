"""Encoders of the features of one side of a two-tower."""
