"""docs/reliability.md lists the inputs of the catalogue as they are."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import reliability


def test_the_page_is_up_to_date() -> None:
    """Else run ``python tests/project/reliability.py``."""
    assert reliability.PAGE.read_text() == reliability.page(reliability.known_faults())


def test_there_are_faults() -> None:
    assert "| all | |" in reliability.known_faults()
