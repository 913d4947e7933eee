"""Worlds with histories, for the tests of linear models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from merlin.schema import ColumnSchema, Schema, Tags
from merlin.schema.io.tensorflow_metadata import TensorflowMetadata
from worlds import group_world

from towermill.columns import HISTORY, ITEM_ID, USER_ID
from towermill.models.data.interactions import Processed, read_schema


def add_histories(folder: Path, size: int = 20) -> Path:
    """Write each user's items in each split, as `process` does with `features.history`."""
    held = ("train", "validation", "test")
    parts = [
        pl.read_parquet(folder / name / "*.parquet")
        .group_by(USER_ID, maintain_order=True)
        .agg(pl.col(ITEM_ID).alias(name))
        for name in held
    ]
    users = pl.read_parquet(folder / "users.parquet").select(USER_ID)
    for part in parts:
        users = users.join(part, on=USER_ID, how="left", maintain_order="left")
    none = pl.lit([], pl.List(pl.Int32))
    users.with_columns(pl.col(*held).fill_null(none)).write_parquet(folder / "sequences.parquet")
    schema = read_schema(folder)
    column = ColumnSchema(
        HISTORY,
        dtype=np.int32,
        is_list=True,
        is_ragged=True,
        tags=[Tags.CATEGORICAL, Tags.SEQUENCE],
        properties={
            "domain": schema[ITEM_ID].properties["domain"],
            "value_count": {"min": 0, "max": size},
        },
    )
    made = Schema([*schema, column])
    TensorflowMetadata.from_merlin_schema(made).to_proto_text_file(str(folder))
    return folder


@pytest.fixture(scope="session")
def history_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The group is told by the ids of the history alone."""
    folder = tmp_path_factory.mktemp("history-world")
    return add_histories(group_world(folder, features=False))


@pytest.fixture(scope="session")
def history_data(history_world: Path) -> Processed:
    return Processed(history_world)
