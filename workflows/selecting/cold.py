"""Users and items that a model meets for the first time after its training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import polars as pl

from towermill.columns import COLD_ITEM, COLD_USER, ITEM_ID, USER_ID


def treat_cold(
    parts: dict[str, pl.LazyFrame],
    cold: Literal["drop", "flag"],
    known: Mapping[str, pl.DataFrame],
) -> dict[str, pl.LazyFrame]:
    """Return the splits with cold rows dropped, or flagged, in all but ``train``.

    Parameters
    ----------
    parts
        Split name to interactions.
    cold
        ``drop`` takes away rows of which the user or the item is not known; ``flag`` adds the
        Boolean columns ``cold_user`` and ``cold_item``. A null id is cold.
    known
        The ids of users and items that are not cold: see `known_ids`.
    """
    flags = {USER_ID: COLD_USER, ITEM_ID: COLD_ITEM}
    treated = {}
    for name, part in parts.items():
        if name != "train":
            for column, ids in known.items():
                if cold == "drop":
                    part = part.join(ids.lazy(), on=column, how="semi", maintain_order="left")
                else:
                    flag = flags[column]
                    seen = ids.lazy().with_columns(pl.lit(False).alias(flag))
                    part = part.join(seen, on=column, how="left", maintain_order="left")
                    part = part.with_columns(pl.col(flag).fill_null(True))
        treated[name] = part
    return treated
