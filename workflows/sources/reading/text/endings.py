"""The last line of a text file that has no line end: whole, or cut."""

from __future__ import annotations

import logging
from pathlib import Path

import polars as pl

from towermill.errors import DataError

logger = logging.getLogger(__name__)

#: Rows that must agree before the last one is compared with them.
_ENOUGH = 3


def check_end(column: pl.LazyFrame, path: Path) -> None:
    """Refuse a last value that looks cut; warn of any other.

    A value looks cut if it is shorter than all others, which are of one length; if it alone is
    missing; or if it is the beginning of another, as words are, and occurs nowhere else.

    Parameters
    ----------
    column
        The last column of a file whose last line has no line end, all of its rows.

    Raises
    ------
    DataError
        The last value looks cut.
    """
    values = column.collect(engine="streaming").to_series()
    last, others = values[-1], values[:-1]
    size = others.str.len_chars()
    cut = False
    if others.len() >= _ENOUGH:
        if last is None:
            cut = others.null_count() == 0
        else:
            even = size.min() == size.max() and others.null_count() == 0
            word = pl.Series([last]).cast(pl.Float64, strict=False).is_null().item()
            cut = (even and len(last) < int(size[0])) or (
                word and not (others == last).any() and bool(others.str.starts_with(last).any())
            )
    if cut:
        raise DataError(
            f"{path}: the last line should be whole. It has no line end, and its last value, "
            f"{last or ''!r}, looks cut: others are such as {others[-1]!r}. Copy the file again; "
            "if the line is whole, add a line end."
        )
    logger.warning("%s has no line end after its last line: was it copied whole?", path)
