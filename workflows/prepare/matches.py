"""Whether the ids of a log are those of the tables beside it."""

from __future__ import annotations

import logging

import polars as pl

from towermill.columns import LEAST_MATCH
from towermill.errors import DataError
from towermill.workflows.sources.reading.ids import whole_number
from towermill.workflows.streaming.group_by import COUNT

logger = logging.getLogger(__name__)

_EXAMPLES = 3
#: What may tell the ids of two tables apart, and the recipe's remedy.
_REMEDIES = {
    "as integers": "`source.types: {<column>: integer}` for the column of each table",
    "without blanks": "`source.normalize_ids: [strip]`",
    "in lower case": "`source.normalize_ids: [lower]`",
}


def require_match(
    seen: pl.DataFrame, held: pl.DataFrame, column: str, table: str, least: float = LEAST_MATCH
) -> pl.DataFrame:
    """Refuse a table that too few rows of a log find an id in; report and return other losses.

    Parameters
    ----------
    seen
        Ids of the log, and `COUNT`, their rows.
    held
        Ids of the table.
    column
        The ids' column in both.
    table
        What it is called: ``items``, ``users``.
    least
        The share of rows that must match.

    Returns
    -------
    The rows of `seen` whose ids the table lacks.

    Raises
    ------
    DataError
        Fewer rows match.
    """
    lone = seen.join(held, on=column, how="anti").sort(COUNT, column, descending=[True, False])
    if lone.is_empty():
        return lone
    rows, lost = int(seen[COUNT].sum()), int(lone[COUNT].sum())
    examples = _named(lone[column])
    if rows - lost >= least * rows:
        logger.warning(
            "Of %d rows, %d have no row in the %s for their %s (%d ids, such as %s)",
            *(rows, lost, table, column, lone.height, examples),
        )
        return lone
    others = _named(held.join(seen, on=column, how="anti").sort(column)[column]) or "none"
    raise DataError(
        f"At least {least:.0%} of the rows should find their {column} in the {table} "
        f"(`source.min_match`). {rows - lost} of {rows} do. Ids without a row are such as "
        f"{examples}; ids of the {table} that no row has: {others}. "
        f"{_remedy(seen, held, column, table)}"
    )


def _named(ids: pl.Series) -> str:
    return ", ".join(map(repr, ids.head(_EXAMPLES)))


def _remedy(seen: pl.DataFrame, held: pl.DataFrame, column: str, table: str) -> str:
    """Return what to do: how the ids would match, if there is a way."""
    text = pl.col(column).cast(pl.String)
    ways = {
        "as integers": whole_number(text),
        "without blanks": text.str.strip_chars(),
        "in lower case": text.str.to_lowercase(),
    }
    for name, way in ways.items():
        known = held.select(way.alias(column)).drop_nulls().unique()
        found = seen.with_columns(way.alias(column)).join(known, on=column, how="semi")
        matched = int(found[COUNT].sum())
        if matched >= LEAST_MATCH * int(seen[COUNT].sum()):
            return f"Read {name}, {matched} would: set {_REMEDIES[name]}."
    return f"Look whether `source` names the right file and column, or leave the {table} out."
