"""Tokenizers trained on a catalogue's own text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass
