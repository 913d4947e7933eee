"""The stage `prepare`: raw data to canonical tables."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from towermill.errors import DataError
from towermill.pipelines.stages.base import Inputs, Stage

if TYPE_CHECKING:
    from towermill.pipelines.recipe.recipe import Recipe
    from towermill.runtime.device import Runtime


def prepare(recipe: Recipe, inputs: Inputs, out: Path, runtime: Runtime) -> None:
    """Read the source into canonical tables: Parquet, and ``features.json``."""
    import polars as pl

    from towermill.workflows.prepare.check_impressions import check_impressions, drop_null_users
    from towermill.workflows.prepare.check_interactions import check_tables, drop_null_ids
    from towermill.workflows.tables import ImpressionTables, write_tables

    scratch = out / "scratch"
    scratch.mkdir()
    try:
        tables = recipe.source.read(scratch)
        on_null_id = recipe.source.on_null_id
        if isinstance(tables, ImpressionTables):
            counts = check_impressions(tables, on_null_id)
            tables = drop_null_users(tables) if counts["null_ids_dropped"] else tables
        else:
            counts = check_tables(tables, on_null_id)
            tables = drop_null_ids(tables) if counts["null_ids_dropped"] else tables
        write_tables(tables, counts, out)
    # Tables are lazy: a damaged file or a text among numbers shows only when its rows are read.
    except pl.exceptions.PolarsError as error:
        raise DataError(
            "The raw data should be readable throughout. Reading it failed: "
            f"{str(error).partition(chr(10))[0].rstrip('.')}. Mend the file, or the section "
            f"`source` of the recipe (kind {recipe.source.kind})."
        ) from error
    shutil.rmtree(scratch)


def raw_files(recipe: Recipe) -> list[Path]:
    """Return the files that the source reads."""
    return recipe.source.files()


STAGE = Stage("prepare", (), ("source",), __name__, prepare, files=raw_files)
