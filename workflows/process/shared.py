"""What interactions and impressions share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from towermill.columns import TIMESTAMP, TRAIN_COUNT
from towermill.errors import DataError
from towermill.workflows.graph.workflow import Workflow
from towermill.workflows.process.earlier_run import Earlier


def _last_moment(train: Path, before: Earlier | None) -> Any:
    frame = pl.scan_parquet(train)
    if TIMESTAMP not in frame.collect_schema().names():
        return None
    last = frame.select(pl.col(TIMESTAMP).max()).collect(engine="streaming").item()
    return last if before is None or before.as_of is None else max(last, before.as_of)


def vocabulary(workflow: Workflow, name: str) -> pl.DataFrame:
    """Return raw ids in the order of their encoded ids, and their training counts."""
    frame = pl.read_parquet(workflow.output_schema[name].properties["cat_path"])
    # A vocabulary that several columns share is stored under all their names.
    stored = next(c for c in frame.columns if f"{c}_size" in frame.columns)
    if frame.is_empty():
        raise DataError(
            f"The vocabulary of {name!r} should hold ids; none of the training split is in it. "
            f"Lower `features.ids.{name}.freq_threshold`."
        )
    return frame.select(
        pl.col(stored).alias(name), pl.col(f"{stored}_size").cast(pl.Int64).alias(TRAIN_COUNT)
    )
