"""How well the clicked items of each impression are ranked among those shown with them.

All follows from where each click stands: how many entries of its impression score higher, and how
many the same. Clicks are few, so they are counted rather than the impressions sorted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from towermill.errors import DataError
from towermill.models.data.ragged import Ints, blocks, check_offsets, check_scored, entries_of
from towermill.models.metrics.catalogue import check_cuts

Floats = NDArray[np.float64]

_BLOCK = 2**17  # entries at a time, so that a block's arrays stay in the processor's cache
_ROUNDS = 8  # clicks of an impression up to which comparing with each is faster than sorting


def impression_metrics(
    scores: ArrayLike, labels: ArrayLike, offsets: ArrayLike, k: Sequence[int] = (5, 10)
) -> dict[str, float]:
    """Average each metric of `per_impression` over the impressions where it is defined.

    Raises
    ------
    TowermillError
        As `per_impression`; and if a metric is defined for no impression.
    """
    result = {}
    for name, values in per_impression(scores, labels, offsets, k).items():
        counted = values[~np.isnan(values)]
        if not len(counted):
            raise DataError(
                f"None of {len(values)} impressions has "
                + ("both a click and an entry without one" if name == "auc" else "a click")
                + f", so there is no `{name}` to average. Are the clicks of this split known?"
            )
        result[name] = float(counted.mean())
    return result


def per_impression(
    scores: ArrayLike, labels: ArrayLike, offsets: ArrayLike, k: Sequence[int] = (5, 10)
) -> dict[str, Floats]:
    """Return each metric of each impression, for segments and confidence intervals.

    Entries with one score are in no order: every metric is its expectation over all orders of
    them, so that the order in which items were shown or stored never counts. With that,

    ``auc``
        Chance that a clicked entry scores higher than one that was not, ties counted half
        (Fawcett 2006, "An introduction to ROC analysis"), as scikit-learn's ``roc_auc_score``.
    ``mrr``
        Mean over the clicked entries of 1 / rank, as the MIND and the EB-NeRD competition define
        it (Wu et al., ACL 2020, "MIND: a large-scale dataset for news recommendation"; Kruse et
        al., RecSys Challenge 2024, "EB-NeRD: a large-scale dataset for news recommendation").
        With several clicks this is not 1 / rank of the first (Voorhees 1999), which is larger.
    ``ndcg@k``
        Σ over clicked entries of 1 / log2(rank + 1) where rank ≤ k, by the largest that it could
        be (Järvelin and Kekäläinen 2002, binary gain; ties as McSherry and Najork 2008,
        "Computing information retrieval performance measures efficiently in the presence of tied
        scores"), as scikit-learn's ``ndcg_score``.
    ``hit_rate@k``
        Chance that at least one of the first k is clicked; 0 or 1 where no tie spans place k.

    Parameters
    ----------
    scores
        Real numbers, (entries,), higher is better. Compared in the dtype they come in.
    labels
        bool or 0 and 1, (entries,): whether the entry was clicked.
    offsets
        Integers, (impressions + 1,): impression i is ``scores[offsets[i]:offsets[i + 1]]``.
    k
        Cut-offs.

    Returns
    -------
    dict of str to ndarray
        float64, (impressions,) each. NaN for an impression without a click, and for `auc` also
        for one where all is clicked.

    Raises
    ------
    TowermillError
        If a cut-off is not a positive integer, shapes or dtypes disagree, a label is neither 0
        nor 1, or a score is NaN or infinite.
    """
    cuts = check_cuts(k)
    score, click, offset = _check(scores, labels, offsets)
    impressions = len(offset) - 1
    names = ["auc", "mrr", *(f"{name}@{cut}" for name in ("ndcg", "hit_rate") for cut in cuts)]
    result = {name: np.full(impressions, np.nan) for name in names}
    longest = int(np.diff(offset).max(initial=0))
    tables = {"mrr": np.concatenate([[0.0], np.cumsum(1 / np.arange(1, longest + 1))])}
    gains = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, longest + 2)))])
    for cut in cuts:
        tables[f"ndcg@{cut}"] = gains[np.minimum(np.arange(longest + 1), cut)]
    for start, stop in blocks(offset, _BLOCK):
        own = slice(offset[start], offset[stop])
        within = offset[start : stop + 1] - offset[start]
        for name, values in _block(score[own], click[own], within, cuts, tables).items():
            result[name][start:stop] = values
    return result


def _block(
    scores: NDArray[Any],
    labels: NDArray[np.bool_],
    offsets: Ints,
    cuts: list[int],
    tables: dict[str, Floats],
) -> dict[str, Floats]:
    """The metrics of one block; `tables` sum a metric's weights over the first n places."""
    clicks = np.flatnonzero(labels)
    row = np.searchsorted(offsets, clicks, side="right") - 1
    lengths, impressions = np.diff(offsets), len(offsets) - 1
    clicked = np.bincount(row, minlength=impressions)
    above, equal = _standing(scores, offsets, clicks, row, clicked)
    below = lengths[row] - above - equal

    result = {}
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN wanted
        # A clicked entry was compared with all clicked ones, itself included: half of those pairs.
        pairs = np.bincount(row, below + equal / 2, impressions) - clicked**2 / 2
        result["auc"] = pairs / (clicked * (lengths - clicked))
        for name, table in tables.items():
            # The weights of the places that tied entries share, and each as likely in every one.
            mean = (table[above + equal] - table[above]) / equal
            best = clicked if name == "mrr" else table[clicked]
            result[name] = np.bincount(row, mean, impressions) / best
    for cut in cuts:
        result[f"hit_rate@{cut}"] = _hit_rate(above, equal, row, clicked, cut)
    return result


def _standing(
    scores: NDArray[Any], offsets: Ints, clicks: Ints, row: Ints, clicked: Ints
) -> tuple[Ints, Ints]:
    """For each click, how many of its impression score above it, and how many the same (≥ 1)."""
    above, equal = np.zeros(len(clicks), np.int64), np.ones(len(clicks), np.int64)
    nth = np.arange(len(clicks)) - (np.cumsum(clicked) - clicked)[row]
    many = clicked[row] > _ROUNDS
    for turn in range(min(_ROUNDS, int(clicked.max(initial=0)))):
        now = np.flatnonzero((nth == turn) & ~many)
        if not len(now):
            continue
        rows = row[now]
        lengths = offsets[rows + 1] - offsets[rows]
        shown = scores if len(rows) == len(clicked) else scores[entries_of(offsets, rows)]
        own = np.repeat(scores[clicks[now]], lengths)
        starts = np.cumsum(lengths) - lengths
        above[now] = np.add.reduceat(shown > own, starts, dtype=np.int64)
        equal[now] = np.add.reduceat(shown == own, starts, dtype=np.int64)
    if many.any():
        rows = np.flatnonzero(clicked > _ROUNDS)
        ranks = _ranks(scores, offsets, rows)
        places = np.zeros(len(scores), np.int64)  # in `ranks`, of each entry
        places[entries_of(offsets, rows)] = np.arange(len(ranks[0]))
        above[many], equal[many] = (values[places[clicks[many]]] for values in ranks)
    return above, equal


def _ranks(scores: NDArray[Any], offsets: Ints, rows: Ints) -> tuple[Ints, Ints]:
    """What `_standing` tells of clicks, told by a sort of all entries of the impressions `rows`."""
    entries = entries_of(offsets, rows)
    owner = np.repeat(np.arange(len(rows)), offsets[rows + 1] - offsets[rows])
    order = np.lexsort((scores[entries], owner))
    sorted_scores, sorted_owner = scores[entries][order], owner[order]
    new = np.ones(len(order) + 1, bool)
    new[1:-1] = (np.diff(sorted_owner) > 0) | (sorted_scores[1:] != sorted_scores[:-1])
    edges = np.flatnonzero(new)
    sizes = np.diff(edges)
    ends = np.searchsorted(sorted_owner, sorted_owner, side="right")  # of the impression
    above, equal = np.empty_like(order), np.empty_like(order)
    equal[order] = np.repeat(sizes, sizes)
    above[order] = ends - np.repeat(edges[1:], sizes)
    return above, equal


def _hit_rate(above: Ints, equal: Ints, row: Ints, clicked: Ints, cut: int) -> Floats:
    """Chance of a click among the first `cut`: it is up to the best clicked entry and its ties."""
    result = np.full(len(clicked), np.nan)
    rows = np.flatnonzero(clicked)
    if not len(rows):
        return result
    starts = (np.cumsum(clicked) - clicked)[rows]
    best = np.minimum.reduceat(above, starts)
    among = above == np.repeat(best, clicked[rows])  # the clicks that tie as the best
    hits = np.add.reduceat(among, starts, dtype=np.int64)
    tied = np.maximum.reduceat(np.where(among, equal, 0), starts)
    room = cut - best
    result[rows] = room > 0
    unsure = np.flatnonzero((room > 0) & (room < tied))
    hits, tied, room = hits[unsure], tied[unsure], room[unsure]
    # Hypergeometric: `room` of the `tied` are drawn, `hits` of which are clicked.
    missed = np.ones(len(unsure))
    for drawn in range(int(room.max(initial=0))):
        chance = np.maximum(tied - hits - drawn, 0) / np.maximum(tied - drawn, 1)
        missed *= np.where(drawn < room, chance, 1.0)
    result[rows[unsure]] = 1 - missed
    return result


def _check(
    scores: ArrayLike, labels: ArrayLike, offsets: ArrayLike
) -> tuple[NDArray[Any], NDArray[np.bool_], Ints]:
    score, label = check_scored(scores, labels)
    return score, label, check_offsets(offsets, len(score))
