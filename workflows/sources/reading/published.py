"""Whether text files in a published format are whole, as they were handed out."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from towermill.errors import DataError

_ROW = "__row"


def require_ended(path: Path) -> None:
    """Refuse a file whose last line has no line end, as all lines of the published file do."""
    with path.open("rb") as raw:
        size = raw.seek(0, 2)
        raw.seek(max(size - 1, 0))
        if raw.read() not in (b"\n", b"\r"):
            raise DataError(
                f"{path} should end with a line end, as the published file does. It ends within a "
                "line: download or unpack it again; if the line is whole, add a line end."
            )


def require_fields(frame: pl.LazyFrame, path: Path, wrong: pl.Expr | None = None) -> None:
    """Refuse a line that lacks a field.

    Parameters
    ----------
    frame
        One row a line of `path`, in its order.
    wrong
        Whether a line is none; by default, whether any column is null.

    Raises
    ------
    DataError
        A line is wrong.
    """
    names = frame.collect_schema().names()
    wrong = pl.any_horizontal(pl.all().is_null()) if wrong is None else wrong
    bad = frame.with_row_index(_ROW).filter(wrong).head(1).collect(engine="streaming")
    if bad.is_empty():
        return
    found = bad.select(names).row(0, named=True)
    raise DataError(
        f"{path}, line {bad[_ROW].item() + 1}: a line should have the fields of the published "
        f"file ({', '.join(names)}). Found: {found}. Download or unpack the file again."
    )
