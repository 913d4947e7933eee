"""Users and items that a model meets for the first time after its training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import polars as pl

from towermill.columns import COLD_ITEM, COLD_USER, ITEM_ID, USER_ID
from towermill.workflows.streaming.group_by import tallies


def treat_cold(
    parts: dict[str, pl.LazyFrame],
    cold: Literal["drop", "flag"],
    earlier: Mapping[str, pl.LazyFrame] | None = None,
) -> dict[str, pl.LazyFrame]:
    """Return the splits with cold rows dropped, or flagged, in all but ``train``.

    Parameters
    ----------
    parts
        Split name to interactions; ``train`` is one of them. Its distinct ids are collected.
    cold
        ``drop`` takes away rows of which the user or the item has no row in training; ``flag``
        adds the Boolean columns ``cold_user`` and ``cold_item``. A null id is cold.
    earlier
        Column to the ids that an earlier training knows: they are not cold either.
    """
    flags = {USER_ID: COLD_USER, ITEM_ID: COLD_ITEM}
    train = parts["train"]
    known = tallies(train.select(list(flags)), list(flags))
    if earlier is not None:
        known = [
            pl.concat([ids, earlier[ids.columns[0]].collect()]).unique(maintain_order=True)
            for ids in known
        ]
    treated = {"train": train}
    for name, part in parts.items():
        if name == "train":
            continue
        for ids, (column, flag) in zip(known, flags.items(), strict=True):
            if cold == "drop":
                part = part.join(ids.lazy(), on=column, how="semi", maintain_order="left")
            else:
                seen = ids.lazy().with_columns(pl.lit(False).alias(flag))
                part = part.join(seen, on=column, how="left", maintain_order="left")
                part = part.with_columns(pl.col(flag).fill_null(True))
        treated[name] = part
    return treated
