"""Canonical tables on disk, between `prepare` and `process`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import TypeAdapter

from towermill.columns import Features
from towermill.errors import DataError
from towermill.workflows.tables import Tables, sink

_NAMES = ("interactions", "items", "users")
_FEATURES: TypeAdapter[dict[str, Features]] = TypeAdapter(dict[str, Features])


def write_tables(tables: Tables, counts: dict[str, Any], folder: Path) -> None:
    """Write ``<table>.parquet``, ``features.json`` and ``stats.json``, streaming."""
    for name in _NAMES:
        frame = getattr(tables, name)
        if frame is not None:
            sink(frame, folder / f"{name}.parquet")
    (folder / "features.json").write_bytes(
        _FEATURES.dump_json(tables.features, indent=2, exclude_defaults=True)
    )
    (folder / "stats.json").write_text(json.dumps(counts, indent=2, default=str))


def read_tables(folder: Path) -> Tables:
    """Return the tables that `write_tables` wrote, lazily.

    Raises
    ------
    DataError
        The folder does not hold them.
    """
    frames = {
        name: pl.scan_parquet(folder / f"{name}.parquet")
        for name in _NAMES
        if (folder / f"{name}.parquet").is_file()
    }
    if "interactions" not in frames or not (folder / "features.json").is_file():
        raise DataError(
            f"Expected interactions.parquet and features.json in {folder}: the output of the "
            "`prepare` stage. Run it again."
        )
    features = _FEATURES.validate_json((folder / "features.json").read_bytes())
    return Tables(**frames, features=features)
