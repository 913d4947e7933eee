"""Columns side by side: NumPy, Arrow and Polars let go of Python's lock while they compute."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import polars as pl

T = TypeVar("T")
R = TypeVar("R")


def each(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Return the function of each item, in order, by as many threads as Polars has.

    ``POLARS_MAX_THREADS`` says how many; the workers of ``--cluster local`` share the cores by it.
    """
    items = list(items)
    if pl.thread_pool_size() == 1 or len(items) < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(pl.thread_pool_size(), len(items))) as pool:
        return list(pool.map(function, items))
