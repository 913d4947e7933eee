"""What an installer does, for this process: entry points that are found, and found anew."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path

from towermill.registry import declared, plugins
from towermill.runtime.code import _path, _source, code_of

SHOPKIT = Path(__file__).parent / "shopkit"


def forget() -> None:
    """Have entry points and modules looked up again."""
    importlib.invalidate_caches()
    for cached in (declared, plugins, code_of, _source, _path):
        cached.cache_clear()


def declare(folder: Path, name: str, groups: Mapping[str, Mapping[str, str]]) -> None:
    """Write what an installer writes of a package's entry points."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [
        line
        for group, points in groups.items()
        for line in (f"[{group}]", *(f"{point} = {place}" for point, place in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
