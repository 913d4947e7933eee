"""Canonical tables on disk, between `prepare` and `process`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import TypeAdapter

from towermill.errors import DataError
from towermill.features import Features
from towermill.workflows.tables import LONG_ROW_GROUP, ROW_GROUP, ImpressionTables, Tables, sink

#: Frames of each kind of tables, the one first that tells it and is never missing.
_NAMES: dict[type[Tables | ImpressionTables], tuple[str, ...]] = {
    Tables: ("interactions", "items", "users"),
    ImpressionTables: ("impressions", "histories", "items", "vectors"),
}
#: Of these, what must be there.
_NEEDED = ("interactions", "impressions", "histories")
#: Of these, what holds hundreds of values a row.
_LONG = ("histories", "vectors")
_FEATURES: TypeAdapter[dict[str, Features]] = TypeAdapter(dict[str, Features])


def write_tables(tables: Tables | ImpressionTables, counts: dict[str, Any], folder: Path) -> None:
    """Write ``<table>.parquet``, ``features.json`` and ``stats.json``, streaming."""
    for name in _NAMES[type(tables)]:
        frame = getattr(tables, name)
        if frame is not None:
            group = LONG_ROW_GROUP if name in _LONG else ROW_GROUP
            sink(frame, folder / f"{name}.parquet", group)
    (folder / "features.json").write_bytes(
        _FEATURES.dump_json(tables.features, indent=2, exclude_defaults=True)
    )
    (folder / "stats.json").write_text(json.dumps(counts, indent=2, default=str))


def read_tables(folder: Path) -> Tables | ImpressionTables:
    """Return the tables that `write_tables` wrote, lazily, of the kind that was written.

    Raises
    ------
    DataError
        The folder does not hold them.
    """
    kind: type[Tables | ImpressionTables] = Tables
    if (folder / "impressions.parquet").is_file():
        kind = ImpressionTables
    found = {name: folder / f"{name}.parquet" for name in _NAMES[kind]}
    needed = [found[name] for name in found if name in _NEEDED]
    if not all(file.is_file() for file in [*needed, folder / "features.json"]):
        names = ", ".join(file.name for file in needed)
        other = "" if kind is ImpressionTables else " (or impressions.parquet, histories.parquet)"
        raise DataError(
            f"Expected {names}{other} and features.json in {folder}: the output of the `prepare` "
            "stage. Run it again."
        )
    frames = {name: pl.scan_parquet(file) for name, file in found.items() if file.is_file()}
    features = _FEATURES.validate_json((folder / "features.json").read_bytes())
    return kind(**frames, features=features)
