"""Features whose values in test differ from those in training."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from towermill.pipelines.running.check.findings import Finding, graded
from towermill.pipelines.running.check.splits import scan
from towermill.processed import ProcessedFolder, Stats

#: Bins of a number, by the training split's quantiles.
_BINS = 10
#: Frequent values of a category that are compared; the others count together.
_VALUES = 50


def drift(folder: ProcessedFolder, stats: Stats) -> Iterator[Finding]:
    """Yield the Jensen-Shannon distance of each feature between training and test.

    The distance (Lin, IEEE Trans. Inf. Theory 1991) is between 0 and 1, with logarithms to the base
    of 2. Numbers are compared in tenths of the training rows, categories and lists by their 50 most
    frequent values. What two samples of these sizes from one distribution would differ by is taken
    off.
    """
    rows = scan(folder, "train"), scan(folder, "test")
    if rows[0] is None or rows[1] is None:
        return
    schema = rows[0].collect_schema()
    for entity, features in stats.columns.items():
        for name in features:
            if name not in schema:
                continue
            columns = [one.select(pl.col(name)) for one in rows if one is not None]
            counts = _counts(columns, schema[name])
            if counts is None:
                continue
            distance = beyond_chance(*counts)
            yield Finding(
                graded(distance, 0.1, 0.3),
                f"drift of {entity} {name}",
                f"Jensen-Shannon distance {distance:.2f} between training and test",
                "test has other values than training: is it a change in the data, or in how it is "
                "logged?",
            )


def _counts(
    columns: list[pl.LazyFrame], dtype: pl.DataType
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Return how often each value, or bin of values, is in training and in test."""
    name = columns[0].collect_schema().names()[0]
    if dtype.is_nested():
        columns = [one.explode(name) for one in columns]
    if dtype.is_float():
        quantiles = [pl.col(name).quantile(n / _BINS).alias(str(n)) for n in range(1, _BINS)]
        cuts: list[float] = sorted(
            set(columns[0].select(quantiles).collect(engine="streaming").row(0)) - {None}
        )
        bins = pl.sum_horizontal(pl.lit(0), *((pl.col(name) >= cut).cast(pl.Int32) for cut in cuts))
        place = pl.when(pl.col(name).is_not_null()).then(bins).alias(name)
        columns = [one.select(place) for one in columns]
    train, test = (one.group_by(name).len().collect(engine="streaming") for one in columns)
    both = train.join(test, on=name, how="full", coalesce=True, nulls_equal=True).fill_null(0)
    both = both.sort("len", "len_right", descending=True)
    counts = both.select("len", "len_right").to_numpy().astype(np.int64)
    if min(counts.sum(axis=0), default=0) == 0:
        return None
    if len(counts) > _VALUES:
        counts = np.vstack([counts[:_VALUES], counts[_VALUES:].sum(axis=0, keepdims=True)])
    return counts[:, 0], counts[:, 1]


def beyond_chance(train: NDArray[np.int64], test: NDArray[np.int64]) -> float:
    """Return the Jensen-Shannon distance of two histograms, less what chance explains.

    For samples of n and m from one distribution of k values, the expected divergence is about
    (k - 1) / (8 ln 2) · (1/n + 1/m) bits: a chi-squared distribution's mean.

    Examples
    --------
    >>> beyond_chance(np.array([50, 50]), np.array([48, 52]))
    0.0
    >>> beyond_chance(np.array([10**6, 0]), np.array([0, 10**6]))
    1.0
    """
    from scipy.spatial.distance import jensenshannon

    n, m = int(train.sum()), int(test.sum())
    divergence = float(jensenshannon(train / n, test / m, base=2)) ** 2
    chance = (np.count_nonzero(train + test) - 1) / (8 * math.log(2)) * (1 / n + 1 / m)
    left = max(divergence - 2 * chance, 0.0)
    return round(math.sqrt(left), 4)
