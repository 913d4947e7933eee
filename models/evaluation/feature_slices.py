"""Slices by the values of a feature of users or items."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from towermill.columns import RAW_PREFIX

Mask = NDArray[np.bool_]

#: Values that get a slice each, the most frequent.
MOST_VALUES: Final = 6
#: Share of the rows that these should hold together: fewer means an id or free text.
_COVERED: Final = 0.5


def feature_slices(table: pl.DataFrame, entity: str) -> dict[str, Mask]:
    """Return which rows of a table are in each slice by one of its raw features.

    Numbers of more than six values are cut at their quartiles. Of other features, and of the
    values in lists, the six most frequent get a slice each; a feature whose six most frequent hold
    less than half of the rows is left out, as an id or free text.

    Parameters
    ----------
    table
        Users or items, with ``raw_<feature>`` columns.
    entity
        ``user`` or ``item``, with which the names begin.

    Returns
    -------
    dict
        bool ``(rows,)`` each, by names such as ``user gender:F``.

    Examples
    --------
    >>> ages = pl.DataFrame({"raw_user_id": [1, 2, 3], "raw_gender": ["F", "M", "F"]})
    >>> {name: mask.tolist() for name, mask in feature_slices(ages, "user").items()}
    {'user gender:F': [True, False, True], 'user gender:M': [False, True, False]}
    """
    found: dict[str, Mask] = {}
    for column in table.iter_columns():
        name = column.name.removeprefix(RAW_PREFIX)
        if name != column.name and name != f"{entity}_id":
            found |= {f"{entity} {name}:{value}": mask for value, mask in _slices(column)}
    return found


def _slices(column: pl.Series) -> Iterator[tuple[str, Mask]]:
    if column.dtype.is_numeric() and column.n_unique() > MOST_VALUES:
        yield from _quartiles(column)
    elif column.dtype.is_numeric() or column.dtype in (pl.String, pl.Boolean, pl.List):
        yield from _values(column)


def _quartiles(column: pl.Series) -> Iterator[tuple[str, Mask]]:
    column = column.cast(pl.Float64).fill_nan(None)
    quantiles = (column.quantile(share) for share in (0.25, 0.5, 0.75))
    cuts = sorted({float(cut) for cut in quantiles if cut is not None})
    values = column.fill_null(float("nan")).to_numpy()
    edges = [-np.inf, *cuts, np.inf]
    for low, high in itertools.pairwise(edges):
        mask = (values > low) & (values <= high)
        if mask.any():
            least, most = values[mask].min(), values[mask].max()
            yield f"{least:g}" if least == most else f"{least:g} to {most:g}", mask


def _values(column: pl.Series) -> Iterator[tuple[str, Mask]]:
    rows = pl.DataFrame({"row": np.arange(len(column)), "value": column})
    if column.dtype == pl.List:
        rows = rows.explode("value").drop_nulls().unique()
    rows = rows.drop_nulls()
    if rows["value"].dtype.is_nested():
        return
    common = rows.group_by("value").len().sort("len", "value", descending=[True, False])
    common = common.head(MOST_VALUES)
    held = rows.filter(pl.col("value").is_in(common["value"].implode()))
    if common.height < 2 or held["row"].n_unique() < _COVERED * len(column):
        return
    for value in common["value"]:
        mask = np.zeros(len(column), bool)
        mask[held.filter(pl.col("value") == value)["row"].to_numpy()] = True
        yield f"{value}", mask
