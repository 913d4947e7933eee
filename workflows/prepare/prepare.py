"""A source to canonical tables: read, check, write."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl

from towermill.errors import DataError, StageError
from towermill.workflows.prepare import CHECKS
from towermill.workflows.prepare.base import NULL_ID
from towermill.workflows.report import report
from towermill.workflows.sources.base import SourceConfig
from towermill.workflows.tables import write_tables


def prepare(source: SourceConfig, out: Path) -> None:
    """Write the canonical tables into the empty folder `out`, and log a summary.

    See `write_tables`, and `PreparedStats` for ``stats.json``.

    Raises
    ------
    DataError
        The raw data cannot be read, or the tables are not as `CHECKS` of their kind require.
    StageError
        The source returns tables of other events than it declares.
    """
    scratch = out / "scratch"
    scratch.mkdir()
    try:
        tables = source.read(scratch)
        if tables.events != source.events:
            raise StageError(
                f"The source {source.kind!r} should return tables of {source.events}, as its "
                f"`events` says. Received: tables of {tables.events}. Correct `events` of "
                f"{type(source).__name__}."
            )
        checks = CHECKS.get(tables.events)
        stats = checks.check(tables, source.on_null_id, source.min_match)
        # Items and users may lack ids as well.
        if any(NULL_ID in reasons for reasons in stats.dropped.values()):
            tables = checks.drop_null_ids(tables)
        write_tables(tables, out)
    # Tables are lazy: a damaged file or a text among numbers shows only when its rows are read.
    except pl.exceptions.PolarsError as error:
        raise DataError(
            "The raw data should be readable throughout. Reading it failed: "
            f"{str(error).partition(chr(10))[0].rstrip('.')}. Fix the file, or the section "
            f"`source` of the recipe (kind {getattr(source, 'kind', type(source).__name__)})."
        ) from error
    shutil.rmtree(scratch)
    stats.write(out)
    report("prepare", stats)
