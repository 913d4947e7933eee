"""The `model` sections of news models."""
