"""Slices by the values of a feature of users or items."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

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

    Numbers of more than six values are cut at their quartiles. Of texts, codes, truth values and
    the values in lists, the six most frequent get a slice each; a feature whose six most frequent
    hold less than half of the rows is left out, as an id or free text. So are moments and dates.

    Parameters
    ----------
    table
        Users or items, with ``raw_<feature>`` columns; a number is also there as model input, as a
        float.
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
        if name == column.name or name == f"{entity}_id":
            continue
        number = name in table.columns and table.schema[name].is_float()
        found |= {f"{entity} {name}:{value}": mask for value, mask in _slices(column, number)}
    return found


def _slices(column: pl.Series, number: bool) -> Iterator[tuple[str, Mask]]:
    if column.dtype.is_float():
        column = column.fill_nan(None)
    if column.dtype in (pl.Categorical, pl.Enum):
        column = column.cast(pl.String)
    if number and column.dtype.is_numeric() and column.drop_nulls().n_unique() > MOST_VALUES:
        yield from _quartiles(column)
    elif column.dtype.is_numeric() or column.dtype in (pl.String, pl.Boolean, pl.List):
        yield from _values(column)


def _quartiles(column: pl.Series) -> Iterator[tuple[str, Mask]]:
    quantiles = (column.quantile(share, "nearest") for share in (0.25, 0.5, 0.75))
    cuts = sorted({cut for cut in quantiles if cut is not None})
    place = sum((column > cut).fill_null(False).cast(pl.Int8) for cut in cuts)
    masks = [(column.is_not_null() & (place == nth)).to_numpy() for nth in range(len(cuts) + 1)]
    masks = [mask for mask in masks if mask.any()]
    ends = [(column.filter(mask).min(), column.filter(mask).max()) for mask in masks]
    for digits in range(4, 18):  # until the names differ
        names = [_range(low, high, digits) for low, high in ends]
        if len(set(names)) == len(names):
            break
    yield from zip(names, masks, strict=True)


def _range(low: Any, high: Any, digits: int) -> str:
    """Return the name of a range of numbers; whole ones are written in full.

    Examples
    --------
    >>> _range(7, 25, 4), _range(0.123456, 0.5, 4), _range(1996, 1996, 4)
    ('7 to 25', '0.1235 to 0.5', '1996')
    """
    ends = [f"{end}" if isinstance(end, int) else f"{end:.{digits}g}" for end in (low, high)]
    return ends[0] if low == high else " to ".join(ends)


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
