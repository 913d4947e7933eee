"""Interleave several ranked lists by quotas."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from towermill.pipelines.recipe.simulate import Rule

Item = TypeVar("Item", bound=Hashable)


def interleave(
    lists: Sequence[Sequence[Item]],
    quotas: Sequence[int],
    k: int,
    rule: Rule = "in_order",
    rng: np.random.Generator | None = None,
) -> list[tuple[Item, int]]:
    """Return up to `k` different items, each with the number of the list that it is from.

    A list whose turn it is gives its best item that is not there yet, so that lists that overlap
    still fill their quotas. When all quotas are filled, or their lists are at an end, rounds of
    the same quotas go on until there are `k` items, or no more.

    Parameters
    ----------
    lists
        Best first.
    quotas
        Places of each list in a round.
    k
        How many, at least 1.
    rule
        Whose turn it is within a round. ``in_order``: the first list fills its quota, then the
        second. ``round_robin``: each in turn gives one. ``team_draft``: each in turn gives one, in
        an order that is drawn each time (Radlinski et al., CIKM 2008).
    rng
        Draws that order.
    """
    rng = rng or np.random.default_rng(0)
    left = [iter(items) for items in lists]
    taken: set[Item] = set()
    found: list[tuple[Item, int]] = []
    before = -1
    while len(found) != before:  # a round that brought nothing is the last
        before = len(found)
        for source in _turns(quotas, rule, rng):
            for item in left[source]:
                if item not in taken:
                    taken.add(item)
                    found.append((item, source))
                    break
            if len(found) == k:
                return found
    return found


def _turns(quotas: Sequence[int], rule: Rule, rng: np.random.Generator) -> Iterator[int]:
    """Yield the list of each place of a round."""
    if rule == "in_order":
        for source, quota in enumerate(quotas):
            yield from [source] * quota
        return
    for place in range(max(quotas)):
        turn = [source for source, quota in enumerate(quotas) if place < quota]
        yield from (turn if rule == "round_robin" else rng.permutation(turn).tolist())
