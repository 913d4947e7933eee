"""Towermill: from raw interaction logs to artifacts a recommender serves."""

__version__ = "0.1.0"
