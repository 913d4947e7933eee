"""Check that an exported bundle recommends the same items as the live model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from merlin.schema import Schema
from numpy.typing import NDArray

from towermill.columns import ITEM_ID, NULL_ID, USER_ID
from towermill.errors import BundleError
from towermill.models.data.interactions import Processed
from towermill.models.data.lists import Lists
from towermill.models.evaluation.protocol import Model
from towermill.models.evaluation.top_k import top_k
from towermill.pipelines.bundle.bundle import Bundle
from towermill.pipelines.gates.sample import spread

#: Users asked for, and items each is given.
_USERS = 1000
_K = 10
#: Pairs that a ranker scores, in all.
_PAIRS = 200_000
#: Users whose scores are in memory at a time.
_TOGETHER = 64


def check_against_live(
    bundle: Bundle, data: Processed, model: Model, tolerance: float
) -> dict[str, Any]:
    """Return how the bundle's best items compare with those that the evaluation ranks.

    Two items may be in either order if the live model's scores of them are within `tolerance`.

    Raises
    ------
    BundleError
        A user is given an item that the live model ranks lower than another by more than that.
    """
    count = max(1, _PAIRS // data.items.height) if bundle.ranks else _USERS
    rows = spread(data.users.height, count)
    scores = model.scores(_queries(data.users[rows], model.query_schema), data.items)
    swapped = 0
    for start in range(0, len(rows), _TOGETHER):
        block = scores(start, min(start + _TOGETHER, len(rows)))
        some = rows[start : start + _TOGETHER]
        seen = [bundle.seen(int(row)) for row in some]
        expected = _best(block, seen)
        found = _ranked(bundle, some) if bundle.ranks else _retrieved(bundle, some, seen)
        swapped += int((found != expected).sum())
        _compare(bundle, some, found, expected, block, tolerance)
    return {"same_top_k": {"users": len(rows), "k": _K, "swapped_ties": swapped}}


def _queries(users: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """Return users as queries; context features are missing."""
    blanks = {
        column.name: pl.lit([] if column.is_list else NULL_ID if column.int_domain else 0.0)
        for column in schema
        if column.name not in users.columns
    }
    kinds = {True: pl.Int32, False: pl.Float32}
    return users.with_columns(
        value.cast(kinds[schema[name].int_domain is not None]).alias(name)
        for name, value in blanks.items()
    )


def _best(block: NDArray[np.float32], seen: list[NDArray[np.int64]]) -> NDArray[np.int32]:
    owners = np.repeat(np.arange(len(seen)), [len(items) for items in seen])
    lists = Lists.from_pairs(owners, np.concatenate(seen), len(seen))
    return top_k(lambda *_: block, len(block), block.shape[1], _K, lists).positions


def _retrieved(
    bundle: Bundle, rows: NDArray[np.int64], seen: list[NDArray[np.int64]]
) -> NDArray[np.int64]:
    """Return the bundle's best items, by a search through all of them."""
    exhaustive = replace(bundle.index, graph=None)
    return exhaustive.search(bundle.embed_users(rows), _K, seen)[0]


def _ranked(bundle: Bundle, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    found = np.full((len(rows), _K), -1)
    for place, row in enumerate(rows):
        items = bundle.recommend(bundle.user(int(row))[USER_ID], _K).items
        ids = [bundle.find_item(item[ITEM_ID]) for item in items]
        found[place, : len(ids)] = ids
    return found


def _compare(
    bundle: Bundle,
    rows: NDArray[np.int64],
    found: NDArray[Any],
    expected: NDArray[Any],
    scores: NDArray[np.float32],
    tolerance: float,
) -> None:
    for place in np.flatnonzero((found != expected).any(axis=1)):
        at = int(np.flatnonzero(found[place] != expected[place])[0])
        one, other = int(found[place][at]), int(expected[place][at])
        allowed = tolerance * max(1.0, float(np.abs(scores[place]).max()))
        if min(one, other) < 0 or abs(scores[place][one] - scores[place][other]) > allowed:
            names = [None if i < 0 else bundle.item(i)[ITEM_ID] for i in (one, other)]
            raise BundleError(
                f"The bundle should recommend the same items as the trained model. To user "
                f"{bundle.user(int(rows[place]))[USER_ID]!r} it gives {names[0]!r} at place "
                f"{at + 1}, and the model {names[1]!r}. Its tables, tower or index are not of this "
                "model: export again."
            )
