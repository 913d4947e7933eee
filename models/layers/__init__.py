"""Layers that Merlin Models does not have."""
