"""Signals of interactions (a rating, a click) and the least values asked of them."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from towermill.errors import DataError, did_you_mean


def require_signals(frame: pl.LazyFrame, least: Mapping[str, float], key: str) -> None:
    """Raise `DataError` if the recipe's `key` names a signal that `frame` does not have."""
    names = frame.collect_schema().names()
    for signal in least:
        if signal not in names:
            raise DataError(
                f"`{key}` names {signal!r}, which is no column of the interactions."
                f"{did_you_mean(signal, names)} Found: {', '.join(names)}."
            )


def at_least(signal: str, least: float) -> pl.Expr:
    """Return whether a signal is at least so much; null where there is none."""
    # To Polars NaN is above all numbers; here it is no value.
    return pl.col(signal).cast(pl.Float64).fill_nan(None) >= least
