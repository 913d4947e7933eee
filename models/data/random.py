"""Random numbers that depend on a seed and two counters alone: in any order, in any block."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from towermill.errors import TowermillError

_LOW = np.uint64(2**32 - 1)
_HALF = np.uint64(32)
_MULTIPLIER = np.uint64(0xD256D193)
_WEYL = 0x9E3779B9  # of the golden ratio: by how much the key moves on from round to round
_ROUNDS = 10


def counted_uniform(seed: int, first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Draw from [0, 1) for each pair of counters, by Philox2x32-10.

    NumPy's Philox advances its counter from a start that is set once; here every draw has its
    own counter (Salmon et al., SC 2011, "Parallel random numbers: as easy as 1, 2, 3").

    Parameters
    ----------
    seed
        Integer from 0.
    first, second
        Integers from 0 to 2^32 - 1, of shapes that go together.

    Returns
    -------
    ndarray
        float64 with 53 random bits, of the counters' shape.

    Raises
    ------
    TowermillError
        If `seed` is not an integer from 0.
    """
    check_seed(seed)
    key = int(np.random.SeedSequence(int(seed)).generate_state(1)[0])
    drawn = (philox(key, first, second) >> np.uint64(11)).astype(np.float64)
    drawn *= 2.0**-53
    return drawn


def check_seed(seed: object) -> None:
    """Raise a TowermillError unless `seed` is an integer from 0."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise TowermillError(f"`seed` should be an integer from 0. Received: seed={seed!r}")


def philox(key: int, first: ArrayLike, second: ArrayLike) -> NDArray[np.uint64]:
    """Return both words of Philox2x32-10, the first one above: uint64.

    Parameters
    ----------
    key, first, second
        Integers from 0 to 2^32 - 1; beyond, the first one's upper bits are lost.
    """
    left: NDArray[np.uint64] = np.asarray(first, np.uint64)
    right: NDArray[np.uint64] = np.asarray(second, np.uint64)
    for turn in range(_ROUNDS):
        product = left * _MULTIPLIER
        left = (product >> _HALF) ^ np.uint64((key + turn * _WEYL) & 0xFFFFFFFF) ^ right
        right = product & _LOW
    return (left << _HALF) | right
