"""Bootstrap confidence intervals, over users, of means over impressions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from towermill.errors import DataError, TowermillError
from towermill.models.data.lists import check_positive
from towermill.models.data.random import check_seed

Floats = NDArray[np.float64]

_BLOCK = 2**22  # draws at a time


def bootstrap_by_user(
    values: Mapping[str, ArrayLike],
    users: ArrayLike,
    samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Return a percentile interval of each metric's mean over impressions.

    Each sample draws as many users as there are, with replacement, each with all of their
    impressions (the bootstrap of Efron and Tibshirani 1993, "An introduction to the bootstrap",
    chapter 13; of clusters: Field and Welsh 2007, "Bootstrapping clustered data"). Impressions of
    one user resemble each other; drawing them one by one would make the interval too narrow.

    Parameters
    ----------
    values
        Real numbers of each metric, (impressions,); NaN is left out, as in the mean itself.
    users
        Integers, (impressions,): who saw the impression. Any numbers, in any order.
    samples
        How many means to draw.
    level
        Share of them that the interval holds, between 0 and 1.
    seed
        Integer from 0. The same draws for every metric.

    Returns
    -------
    dict of str to tuple
        Low and high end by metric.

    Raises
    ------
    TowermillError
        If shapes or dtypes disagree, there is only one user, a metric is NaN throughout or infinite
        somewhere, or `samples`, `level` or `seed` is out of range.
    """
    check_positive("samples", samples)
    if not 0 < level < 1:
        raise TowermillError(f"`level` should be between 0 and 1. Received: level={level!r}")
    check_seed(seed)
    user = np.asarray(users)
    if user.ndim != 1 or user.dtype.kind not in "iu":
        raise DataError(
            "`users` should be integers of shape (impressions,). "
            f"Received: {user.dtype} of shape {user.shape}"
        )
    known, position = np.unique(user, return_inverse=True)
    if len(known) < 2:
        raise DataError(f"`users` should name two users at least. Received: {len(known)}")
    if not values:
        return {}
    # A sample's mean needs no more of a user than the sum and the number of their values.
    totals = np.empty((len(known), 2 * len(values)))
    for column, (name, given) in enumerate(values.items()):
        value = _check(name, given, len(user))
        counted = ~np.isnan(value)
        own = position[counted]
        totals[:, 2 * column] = np.bincount(own, value[counted], len(known))
        totals[:, 2 * column + 1] = np.bincount(own, minlength=len(known))
    drawn = np.concatenate([weights @ totals for weights in _weights(len(known), samples, seed)])
    with np.errstate(invalid="ignore"):  # 0 / 0: none of the users drawn has a value
        means = drawn[:, ::2] / drawn[:, 1::2]
    ends = np.nanquantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return {name: (float(low), float(high)) for name, low, high in zip(values, *ends, strict=True)}


def _weights(users: int, samples: int, seed: int) -> Iterator[Floats]:
    """Yield the counts of each user in each sample: blocks of (samples, users), multinomial."""
    rng = np.random.default_rng(seed)
    size = max(1, _BLOCK // users)
    for start in range(0, samples, size):
        rows = min(size, samples - start)
        # Counting draws is many times faster than NumPy's multinomial, a binomial a user.
        cells = rng.integers(0, users, (rows, users)) + np.arange(0, rows * users, users)[:, None]
        counts = np.bincount(cells.ravel(), minlength=rows * users)
        yield counts.reshape(rows, users).astype(np.float64)


def _check(name: str, given: ArrayLike, impressions: int) -> Floats:
    value = np.asarray(given)
    if value.shape != (impressions,) or value.dtype.kind not in "fiub":
        raise DataError(
            f"`values` of {name!r} should be numbers of shape ({impressions},), one a user of "
            f"`users`. Received: {value.dtype} of shape {value.shape}"
        )
    result = value.astype(np.float64, copy=False)
    if np.isnan(result).all() or np.isinf(result).any():
        raise DataError(
            f"`values` of {name!r} should be finite, or NaN for some of the impressions. "
            f"Received: {int(np.isinf(result).sum())} infinite and {int(np.isnan(result).sum())} "
            f"NaN of {impressions}"
        )
    return result
