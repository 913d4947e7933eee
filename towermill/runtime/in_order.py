"""Yield the results of futures in order while later ones are computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")

#: Tasks in flight for each thread of a cluster: the next is there when one is done.
_A_THREAD = 3


def in_order(submit: Callable[[Item], Any], items: Iterable[Item], ahead: int) -> Iterator[Any]:
    """Yield the result of each item, in order.

    Parameters
    ----------
    submit
        Starts an item's task and returns its future.
    items
        Read as tasks are started.
    ahead
        Tasks in flight beside the one whose result comes next.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from functools import partial
    >>> with ThreadPoolExecutor(2) as threads:
    ...     list(in_order(partial(threads.submit, str.upper), "abc", ahead=1))
    ['A', 'B', 'C']
    """
    waiting: deque[Any] = deque()
    for item in items:
        waiting.append(submit(item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def tasks_ahead(client: Any) -> int:
    """Return how many tasks to have in flight so that no thread of a Dask cluster waits."""
    threads: int = sum(client.nthreads().values())
    return _A_THREAD * max(threads, 1)
