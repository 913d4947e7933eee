"""How good ranked lists are: accuracy of the catalogue protocol, and what lies beyond accuracy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from towermill.errors import DataError, TowermillError
from towermill.models.data.lists import Lists, TopK, check_lists, check_positive

Floats = NDArray[np.float64]

_BLOCK = 2**24  # bytes of scratch memory


def ranking_metrics(
    top: TopK,
    relevant: Lists,
    k: Sequence[int],
    item_counts: ArrayLike | None,
    catalogue: int,
    *,
    profiles: Lists | None = None,
) -> dict[str, float]:
    """Average the metrics of ranked lists over the queries that have at least one relevant item.

    A query without relevant items counts nowhere, coverage included; how many count is
    ``(relevant.lengths > 0).sum()``. A relevant item that was filtered as seen cannot be hit and
    counts as missed.

    Beside the means of `per_query` there are

    ``coverage@k``
        Share of the catalogue in the top k of at least one counted query (Herlocker et al. 2004,
        "Evaluating collaborative filtering recommender systems").
    ``popularity_ratio@k``
        Mean ``average_popularity@k`` by the mean training count of the items in the same queries'
        profiles: above 1, recommendations are more popular than what the users chose themselves
        (1 + ΔGAP of Abdollahpouri et al. 2019, "The unfairness of popularity bias in
        recommendation", the counted queries being the group). With `item_counts` and `profiles`.

    Parameters
    ----------
    top
        Ranked lists, at least max(k) wide; -1 pads a list and is never a hit.
    relevant
        Held-out items of each query.
    k
        Cut-offs; each gives its own ``"name@k"``.
    item_counts
        Training interactions of each item, (catalogue,); None leaves out what needs them.
    catalogue
        Number of items.
    profiles
        Training items of each query.

    Raises
    ------
    TowermillError
        As `per_query`; and if no query has a relevant item, or none of those that have was
        recommended anything.
    """
    values = per_query(top, relevant, k, item_counts, catalogue)
    counted = relevant.lengths > 0
    if not counted.any():
        raise DataError(
            f"None of {len(relevant)} queries has a relevant item, so there is nothing to average. "
            "Is the test split empty, or have its filters dropped every row?"
        )
    ranked = top.positions[counted]
    if not (ranked[:, : min(k)] >= 0).any():
        raise DataError(
            f"None of {len(ranked)} queries was recommended anything: all items are filtered as "
            "seen. Evaluate with `filter_seen: false`"
        )
    result = {name: float(np.nanmean(value)) for name, value in values.items()}
    for cut in sorted(set(k)):
        shown = np.zeros(catalogue + 1, bool)  # the last one is shown by -1
        shown[ranked[:, :cut]] = True
        result[f"coverage@{cut}"] = float(shown[:-1].mean())
    if item_counts is None or profiles is None:
        return result
    check_lists("profiles", profiles, len(relevant), catalogue)
    counts = np.asarray(item_counts, np.float64)
    total = np.bincount(profiles.rows, counts[profiles.values], len(profiles))
    own = total / np.maximum(profiles.lengths, 1)
    for cut in sorted(set(k)):
        average = values[f"average_popularity@{cut}"]
        both = ~np.isnan(average) & (own > 0)
        if both.any():
            result[f"popularity_ratio@{cut}"] = float(average[both].mean() / own[both].mean())
    return result


def per_query(
    top: TopK,
    relevant: Lists,
    k: Sequence[int],
    item_counts: ArrayLike | None,
    catalogue: int,
) -> dict[str, Floats]:
    r"""Return each metric of each query, for segments and confidence intervals.

    With R the query's relevant items, h_i = 1 if the item at place i is one of them, else 0, and
    H = Σ_{i≤k} h_i:

    ``recall@k``
        H / \|R\| (as in RecTools and RecBole; others cap \|R\| at k).
    ``precision@k``
        H / k, also where fewer than k items could be recommended.
    ``hit_rate@k``
        1 if H > 0, else 0.
    ``ndcg@k``
        Σ_{i≤k} h_i / log2(i + 1), by its ideal Σ_{i≤min(\|R\|,k)} 1 / log2(i + 1) (Järvelin and
        Kekäläinen 2002, binary gain). As RecBole and scikit-learn; RecTools' default sums its
        ideal to k, whatever \|R\| is, and agrees with ``divide_by_achievable=True``.
    ``mrr@k``
        1 / place of the first hit, 0 without one in the top k (Voorhees 1999).
    ``map@k``
        Average precision Σ_{i≤k} h_i · precision@i / min(\|R\|, k). As RecBole; RecTools divides
        by \|R\|, or by k with ``divide_by_k=True``. scikit-learn has no average precision at k:
        its ``label_ranking_average_precision_score`` ranks the whole catalogue, divides by \|R\|
        and takes ties pessimistically.
    ``novelty@k``
        Mean self-information -log2 p(item) of the items recommended, p being the item's share of
        all training interactions; an item without any counts as having one (Zhou et al. 2010,
        "Solving the apparent diversity-accuracy dilemma of recommender systems"; Vargas and
        Castells 2011, "Rank and relevance in novelty and diversity metrics for recommender
        systems"). With p a share of users instead, as in Zhou et al. and RecTools, it is lower by
        log2(interactions / users) for every item. With `item_counts`.
    ``average_popularity@k``
        Mean training count of the items recommended, ARP (Yin et al. 2012, "Challenging the long
        tail recommendation"). With `item_counts`.

    Parameters
    ----------
    top, relevant, k, item_counts, catalogue
        As for `ranking_metrics`.

    Returns
    -------
    dict of str to ndarray
        float64, (queries,) each. NaN for a query without relevant items; novelty and popularity
        are NaN, too, where nothing was recommended, while accuracy is 0 there.

    Raises
    ------
    TowermillError
        If a cut-off is not a positive integer or wider than the lists, shapes disagree, positions
        are beyond the catalogue, or a list hits an item twice.
    """
    cuts = check_cuts(k, top.positions.shape[1])
    queries, deepest = len(top.positions), cuts[-1]
    check_lists("relevant", relevant, queries, catalogue)
    weights = {} if item_counts is None else item_weights(item_counts, catalogue)
    if top.positions.size and not -1 <= top.positions.min() <= top.positions.max() < catalogue:
        raise DataError(
            f"`top` should hold positions from 0 to {catalogue - 1}, or -1. "
            f"Received: {top.positions.min()} … {top.positions.max()}"
        )
    row, place = np.nonzero(
        hits(top, relevant, catalogue)[:, :deepest]
    )  # few: at most the relevant items
    nth = np.arange(1, len(row) + 1) - np.searchsorted(row, row)  # 1 for a query's first hit …
    size = np.maximum(relevant.lengths, 1)
    discounts = 1 / np.log2(np.arange(2, deepest + 2))
    ideal = np.cumsum(discounts)
    result: dict[str, Floats] = {}
    for cut in cuts:
        keep = place < cut
        rows, places, ranks = row[keep], place[keep], nth[keep]
        achievable = np.minimum(size, cut)
        total = np.bincount(rows, minlength=queries)
        dcg = np.bincount(rows, discounts[places], queries)
        first = np.bincount(rows, (ranks == 1) / (places + 1), queries)
        precisions = np.bincount(rows, ranks / (places + 1), queries)
        result[f"recall@{cut}"] = total / size
        result[f"precision@{cut}"] = total / cut
        result[f"hit_rate@{cut}"] = (total > 0).astype(np.float64)
        result[f"ndcg@{cut}"] = dcg / ideal[achievable - 1]
        result[f"mrr@{cut}"] = first.astype(np.float64)  # integers where nothing is hit
        result[f"map@{cut}"] = precisions / achievable
    for name, weight in weights.items():
        for cut, mean in list_means(top.positions, weight, cuts).items():
            result[f"{name}@{cut}"] = mean
    for value in result.values():
        value[relevant.lengths == 0] = np.nan
    return result


def hits(top: TopK, relevant: Lists, catalogue: int) -> NDArray[np.bool_]:
    """Tell which of the items recommended are relevant: (queries, k), False where padded.

    Raises
    ------
    DataError
        If a list holds one relevant item twice.
    """
    queries = len(top.positions)
    result = np.zeros(top.positions.shape, bool)
    size = max(1, min(queries, _BLOCK // (catalogue + 1)))
    marks = np.zeros((size, catalogue + 1), bool)  # the last one is where -1 points
    for start in range(0, queries, size):
        stop = min(start + size, queries)
        own = slice(relevant.offsets[start], relevant.offsets[stop])
        rows = np.repeat(np.arange(stop - start), relevant.lengths[start:stop])
        marks[rows, relevant.values[own]] = True
        result[start:stop] = marks[np.arange(stop - start)[:, None], top.positions[start:stop]]
        marks[rows, relevant.values[own]] = False
    row, place = np.nonzero(result)
    hit = np.sort(row * (catalogue + 1) + top.positions[row, place])
    if (np.diff(hit) == 0).any():
        raise DataError("`top` recommends an item twice in one list: remove duplicates first")
    return result


def list_means(positions: NDArray[np.int32], weight: Floats, cuts: list[int]) -> dict[int, Floats]:
    """Mean weight of the first `cut` items of each list, padding (-1) left out; NaN if empty."""
    queries, width = positions.shape
    padded = np.append(weight, 0.0)
    result = {cut: np.full(queries, np.nan) for cut in cuts}
    size = max(1, _BLOCK // (8 * width))
    for start in range(0, queries, size):
        block = positions[start : start + size]
        totals, numbers = np.cumsum(padded[block], axis=1), np.cumsum(block >= 0, axis=1)
        for cut in cuts:
            total, number = totals[:, cut - 1], numbers[:, cut - 1]
            mean = result[cut][start : start + size]
            np.divide(total, number, out=mean, where=number > 0)
    return result


def item_weights(item_counts: ArrayLike, catalogue: int) -> dict[str, Floats]:
    """Return what `per_query` averages over the items recommended: (catalogue,) by metric."""
    counts = np.asarray(item_counts, np.float64)
    if counts.shape != (catalogue,) or not (counts >= 0).all() or not counts.any():
        raise DataError(
            f"`item_counts` should be of shape ({catalogue},), from 0, and not all 0. "
            f"Received: shape {counts.shape}, sum {counts.sum()}"
        )
    share = np.maximum(counts, 1) / counts.sum()
    return {"novelty": -np.log2(share), "average_popularity": counts}


def check_cuts(k: Sequence[int], width: int | None = None) -> list[int]:
    """Return the cut-offs once each, ascending; a TowermillError if one does not do."""
    if not isinstance(k, Sequence) or not k:
        raise TowermillError(f"`k` should be a list of positive integers. Received: k={k!r}")
    for cut in k:
        check_positive("k", cut)
        if width is not None and cut > width:
            raise TowermillError(
                f"`k` should be at most {width}, the width of the ranked lists. Received: k={cut}"
            )
    return sorted(set(k))
