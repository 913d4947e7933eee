"""Categorify: vocabularies, their extension and the lookup of ids."""
