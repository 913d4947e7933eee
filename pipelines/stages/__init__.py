"""The five stages, their keys and their outputs."""
