"""Refuse to evaluate a ranker on rows that it was trained on."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from towermill.columns import FIRST_ID, ITEM_ID, RAW_PREFIX, USER_ID
from towermill.errors import DataError
from towermill.models.build import open_data
from towermill.models.data.interactions import Processed
from towermill.pipelines.bundle.bundle import Bundle
from towermill.pipelines.recommend.held_out import HeldOut
from towermill.pipelines.stages.output import read_manifest

logger = logging.getLogger(__name__)

#: The sections of a recipe that say which rows are held out.
_DIVIDE: Final = ("source", "filters", "split")


def check_leaks(held: HeldOut, retriever: Bundle, ranker: Bundle, path: Path, split: str) -> None:
    """Raise `DataError` if the answers of held-out queries were in a ranker's training.

    Rows that the retriever's own run has in training as well are repetitions, and no leak.
    Recipes that split the same rows in the same way cannot leak.

    Parameters
    ----------
    held
        The queries, of the retriever's run.
    retriever, ranker
        The bundles. The ranker's run is the folder around its own; without one a warning says
        that nothing could be checked.
    path
        Where the ranker's bundle is, not resolved.
    split
        Of the queries, for the message.
    """
    process = path.parent / "process"
    first, second = retriever.manifest.recipe, ranker.manifest.recipe
    alike = all(first[name] == second[name] for name in _DIVIDE)
    if alike and _read_alike(held.data.path, process):
        return
    if not process.is_dir() or (other := open_data(process)).events != held.data.events:
        logger.warning(
            "Whether the ranker was trained on the rows of %s was not checked: there is no run "
            "of interactions around %s.",
            split,
            path,
        )
        return
    answers = _answers(held).join(
        _raw(held.data, held.data.met()), on=[USER_ID, ITEM_ID], how="anti"
    )
    trained = _raw(other, other.met())
    if answers.schema != trained.schema:
        answers, trained = answers.cast(pl.String), trained.cast(pl.String)
    leaked = answers.join(trained, on=[USER_ID, ITEM_ID], how="semi").height
    if leaked:
        raise DataError(
            f"The rows of the split {split!r} should be new to the ranker; {leaked} of "
            f"{answers.height} were in its training. Give both recipes the same `source`, "
            "`filters` and `split`, and run the ranker's again."
        )


def _read_alike(first: Path, second: Path) -> bool:
    """Return whether two outputs of `process` were made from the same tables, and no earlier run.

    A file may have grown since one of them was made.
    """
    manifests = [read_manifest(folder) for folder in (first, second)]
    read = [None if one is None else one.ingredients["inputs"] for one in manifests]
    return read[0] is not None and read[0] == read[1] and list(read[0]) == ["prepare"]


def _answers(held: HeldOut) -> pl.DataFrame:
    """Return the raw pairs of the queries' users, where known, and their answers."""
    relevant = held.queries.relevant
    rows = np.repeat(np.arange(len(relevant)), relevant.lengths)
    users = held.queries.features[USER_ID].gather(rows)
    items = held.data.ranking_order[relevant.values] + FIRST_ID
    pairs = pl.DataFrame({USER_ID: users, ITEM_ID: pl.Series(items, dtype=pl.Int32)})
    return _raw(held.data, pairs.filter(pl.col(USER_ID) >= FIRST_ID))


def _raw(data: Processed, pairs: pl.DataFrame) -> pl.DataFrame:
    """Return encoded pairs with raw ids."""
    users, items = data.users[RAW_PREFIX + USER_ID], data.items[RAW_PREFIX + ITEM_ID]
    return pl.DataFrame(
        {
            USER_ID: users.gather(pairs[USER_ID].cast(pl.Int64) - FIRST_ID),
            ITEM_ID: items.gather(pairs[ITEM_ID].cast(pl.Int64) - FIRST_ID),
        }
    )
