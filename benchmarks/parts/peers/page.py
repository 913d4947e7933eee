"""The page docs/peers.md and its plots."""

from pathlib import Path


def write_page(results, page: Path, seeds) -> None:
    pass
