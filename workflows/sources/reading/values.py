"""Values of categories that no vocabulary can be made of."""

from __future__ import annotations

import polars as pl

from towermill.errors import DataError
from towermill.features.config import Features


def require_values(frame: pl.LazyFrame, features: Features, what: str) -> None:
    """Refuse categories and lists without a single value, or with integers of 2**63 and above.

    Parameters
    ----------
    frame
        A table; features that are made from no column of it are passed over.
    what
        The table, for errors.

    Raises
    ------
    DataError
        A column has nothing but nulls or NaN, in a table that has rows; or integers too large for
        int64, in which encoded vocabularies are kept.
    """
    schema = frame.collect_schema()
    for name, feature in features.items():
        if name not in schema or not feature.is_category:
            continue
        kind = schema[name]
        values = frame.select(name)
        if isinstance(kind, pl.List):
            inner = kind.inner
            kind = inner if isinstance(inner, pl.DataType) else inner()
            values = values.explode(name)
        held = pl.col(name).is_not_null()
        if kind.is_float():
            held &= pl.col(name).is_not_nan()
        some = values.filter(held).head(1).collect(engine="streaming")
        if some.is_empty() and not values.head(1).collect(engine="streaming").is_empty():
            raise DataError(
                f"`{what}`: {name!r} should hold values, as it is a feature. It has nothing but "
                "nulls or NaN. Look at the file, or leave the feature out."
            )
        if kind == pl.UInt64:
            _require_int64(values, name, what)


def _require_int64(values: pl.LazyFrame, name: str, what: str) -> None:
    top = values.select(pl.col(name).max()).collect(engine="streaming").item()
    if top is not None and top >= 2**63:
        raise DataError(
            f"`{what}`: {name!r} should hold integers below 2**63, or text. Received: {top}. Write "
            f"such values as text, or set `source.types: {{{name}: text}}`."
        )
