"""Training batches of impressions: a click and negatives that were shown with it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from towermill.columns import HISTORY_ID, USER_ID
from towermill.errors import DataError
from towermill.models.data.impressions import ImpressionData, Slates

#: Rows drawn at a time, whatever the batch: the seed of a draw is its block's.
_BLOCK = 1 << 15


class SlateBatches:
    """Batches of one row a click, its negatives drawn again each epoch (Wu et al., 2019).

    An impression with several clicks gives one row a click; none of them is another's negative.
    One without a click, or of which all was clicked, gives none.

    Parameters
    ----------
    data
        Its training impressions are held in memory, as indices.
    batch_size, seed
        Rows a batch; decides, with the epoch, order and draws.
    npratio, replacement
        See `towermill.models.configs.news.nrms.NRMSConfig`.
    ages
        Give the age of each candidate, too.

    Raises
    ------
    DataError
        No impression gives a row.
    """

    def __init__(
        self,
        data: ImpressionData,
        *,
        batch_size: int,
        npratio: int,
        replacement: bool = True,
        ages: bool = False,
        seed: int = 0,
    ) -> None:
        slates = data.slates("train")
        self.batch_size, self.npratio, self.replacement = batch_size, npratio, replacement
        self.seed = seed
        self._shown = _Shown.of(slates, data.ages(slates) if ages else None)
        if not len(self._shown.clicks):
            raise DataError(
                f"Expected training impressions with a click and something else shown; of "
                f"{len(slates)} none is. Look at the source's clicked articles: are they among "
                "those shown?"
            )

    @property
    def rows(self) -> int:
        """Rows an epoch: clicks that had something else beside them."""
        return len(self._shown.clicks)

    def __len__(self) -> int:
        return math.ceil(self.rows / self.batch_size)

    def first(self) -> dict[str, tf.Tensor]:
        """Return two rows or fewer, as an example."""
        return self._batch(self._draw(np.arange(min(2, self.rows)), np.random.default_rng(0)))

    def epoch(self, number: int) -> Iterator[dict[str, tf.Tensor]]:
        """Yield the batches of an epoch, the same however often it is begun."""
        order = np.random.default_rng((self.seed, number, 0)).permutation(self.rows)
        waiting: dict[str, NDArray[np.int32]] = {}
        for block, start in enumerate(range(0, self.rows, _BLOCK)):
            rng = np.random.default_rng((self.seed, number, 1, block))
            drawn = self._draw(order[start : start + _BLOCK], rng)
            if waiting:
                drawn = {n: np.concatenate([waiting[n], v]) for n, v in drawn.items()}
            whole = len(drawn[HISTORY_ID])
            if start + _BLOCK < self.rows:
                whole -= whole % self.batch_size
            for first in range(0, whole, self.batch_size):
                last = min(first + self.batch_size, whole)
                yield self._batch({n: v[first:last] for n, v in drawn.items()})
            waiting = {n: v[whole:] for n, v in drawn.items()}

    def _batch(self, arrays: dict[str, NDArray[np.int32]]) -> dict[str, tf.Tensor]:
        return {name: tf.constant(values) for name, values in arrays.items()}

    def _draw(
        self, rows: NDArray[np.int64], rng: np.random.Generator
    ) -> dict[str, NDArray[np.int32]]:
        shown = self._shown
        click = shown.clicks[rows]
        impression = shown.impressions[rows]
        first, count = shown.starts[impression], shown.counts[impression]
        if self.replacement:
            place = (rng.random((len(rows), self.npratio)) * count[:, None]).astype(np.int64)
            there = np.ones(place.shape, bool)
        else:
            place, there = _distinct(count, self.npratio, rng)
        entries = np.where(there, shown.unclicked[first[:, None] + np.where(there, place, 0)], 0)
        negatives = np.where(there, shown.items[entries], 0)
        batch = {
            USER_ID: shown.users[impression],
            HISTORY_ID: shown.histories[impression],
            "candidates": np.column_stack([shown.items[click], negatives]).astype(np.int32),
        }
        if shown.ages is not None:
            batch["ages"] = np.column_stack(
                [shown.ages[click], np.where(there, shown.ages[entries], 0)]
            ).astype(np.int32)
        return batch


@dataclass(frozen=True)
class _Shown:
    """Entries of impressions, clicked and not.

    Attributes
    ----------
    items, ages
        ``(entries,)``.
    users, histories
        ``(impressions,)``.
    clicks, impressions
        The entry and the impression of each training row.
    unclicked, starts, counts
        Entries that were not clicked, one impression after another; where each begins, how many.
    """

    items: NDArray[np.int32]
    ages: NDArray[np.int32] | None
    users: NDArray[np.int32]
    histories: NDArray[np.int32]
    clicks: NDArray[np.int64]
    impressions: NDArray[np.int64]
    unclicked: NDArray[np.int64]
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, slates: Slates, ages: NDArray[np.int32] | None) -> _Shown:
        clicked, rows = slates.clicked, slates.rows
        counts = np.bincount(rows[~clicked], minlength=len(slates))
        clicks = np.flatnonzero(clicked & (counts[rows] > 0))
        return cls(
            slates.items,
            ages,
            slates.users,
            slates.histories,
            clicks,
            rows[clicks],
            np.flatnonzero(~clicked),
            np.cumsum(counts) - counts,
            counts,
        )


def _distinct(
    count: NDArray[np.int64], wanted: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Draw `wanted` distinct places of each 0 … count-1, and tell which of them there are.

    Each place of a row has a random key; the least keys are drawn.
    """
    owner = np.repeat(np.arange(len(count)), count)
    starts = np.cumsum(count) - count
    order = np.lexsort((rng.random(len(owner)), owner))
    there = np.arange(wanted) < count[:, None]
    at = np.minimum(starts[:, None] + np.arange(wanted), max(len(order) - 1, 0))
    return np.where(there, order[at] - starts[:, None], 0), there
