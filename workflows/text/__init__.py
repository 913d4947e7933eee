"""Text of items: token ids, vectors of words, vectors of sentences."""

from towermill.workflows.text.config import TextConfig

__all__ = ["TextConfig"]
