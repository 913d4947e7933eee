"""The type of a vocabulary's values, and a value to mark missing ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import polars as pl


def type_of(values: pl.Series) -> str | None:
    """Return ``string`` or ``int64``; None if the values are of another type."""
    import polars as pl

    if values.dtype == pl.String:
        return "string"
    return "int64" if values.dtype.is_integer() or values.dtype == pl.Boolean else None


def first_unused(values: pl.Series, kind: str) -> str | int:
    r"""Return a value that marks missing ones: the first candidate not in the vocabulary.

    Candidates are empty text, ``"\0"``, ``"\0\0"`` …, or the int64 numbers from the smallest on.
    """
    import polars as pl

    count = len(values) + 1
    least = int(np.iinfo(np.int64).min)
    texts, numbers = ("\0" * i for i in range(count)), (least + i for i in range(count))
    near = (
        values.str.strip_chars("\0") == "" if kind == "string" else values.cast(pl.Int64) < -(2**62)
    )
    held = set(values.filter(near))
    return next(value for value in (texts if kind == "string" else numbers) if value not in held)
