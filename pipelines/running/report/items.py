"""A map of item embeddings: two principal components, coloured by a category."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from towermill.columns import ITEM_ID
from towermill.pipelines.bundle.bundle import Bundle

#: Items on the map.
MOST: Final = 2000
#: Colours of categories; the remaining categories share one more.
COLOURS: Final = 7
#: Width and height of the map in its own units, with a margin on each side.
_SIZE, _MARGIN = (960, 600), 12
_LONGEST: Final = 80
#: Dimensions up to which all components are computed, not only two.
_SMALL: Final = 32


def item_map(bundle: Bundle) -> dict[str, Any] | None:
    """Return the points and the legend of the map; None for a ranker, which has no embeddings."""
    if bundle.ranks or len(bundle.items) < 3:
        return None
    rng, total = np.random.default_rng(0), len(bundle.items)
    rows = np.arange(total) if total <= MOST else np.sort(rng.choice(total, MOST, replace=False))
    places, explained = two_components(np.asarray(bundle.index.vectors[rows], np.float64))
    items = bundle.items.rows(rows)
    column = colour_by(bundle)
    groups = [_first(item.get(column)) for item in items] if column else [""] * len(items)
    names = [name for name, _ in Counter(groups).most_common(COLOURS)]
    title = bundle.title or ITEM_ID
    points = [
        {
            "x": round(float(x), 1),
            "y": round(float(y), 1),
            "group": names.index(group) if group in names else COLOURS,
            "name": _short(item.get(title) or item[ITEM_ID]),
            "of": group,
        }
        for (x, y), group, item in zip(_fitted(places), groups, items, strict=True)
    ]
    others = len(set(groups)) > len(names)
    return {
        "points": points,
        "column": column,
        "legend": [*names, *(["other"] if others else [])] if column else [],
        "size": _SIZE,
        "total": total,
        "explained": explained,
    }


def two_components(vectors: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return the first two principal components, ``(items, 2)``, and their share of the variance.

    Examples
    --------
    >>> places, share = two_components(np.array([[0.0, 0, 1], [2, 0, 1], [4, 0, 1]]))
    >>> np.abs(places[:, 0]).round(6).tolist(), round(share, 6)
    ([2.0, 0.0, 2.0], 1.0)
    """
    from scipy.sparse.linalg import svds

    centred = vectors - vectors.mean(axis=0)
    if min(centred.shape) <= _SMALL:
        left, values, _ = np.linalg.svd(centred, full_matrices=False)
    else:
        left, values, _ = svds(centred, k=2, v0=np.ones(min(centred.shape)))
        left, values = left[:, ::-1], values[::-1]
    places = np.zeros((len(vectors), 2))
    found = (left * values)[:, :2]
    places[:, : found.shape[1]] = found
    total = float((centred**2).sum())
    return places, float((values[:2] ** 2).sum()) / total if total else 1.0


def colour_by(bundle: Bundle) -> str | None:
    """Return the item feature that colours the map: the first category, or else list."""
    columns = bundle.manifest.item_columns
    for kind in ("category", "list"):
        for name, feature in columns.items():
            if feature["kind"] == kind and name in bundle.items.columns:
                return str(name)
    return None


def _first(value: Any) -> str:
    """Return the first entry of a list, or a category, as text."""
    values = value if isinstance(value, list) else [value]
    return _short(values[0]) if values and values[0] is not None else "none"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _fitted(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return places in the map's units; the outermost 0.5 % are drawn at the border."""
    low, high = np.quantile(places, [0.005, 0.995], axis=0)
    size = np.array(_SIZE) - 2 * _MARGIN
    unit = np.clip((places - low) / np.maximum(high - low, np.finfo(float).tiny), 0, 1)
    fitted: NDArray[np.float64] = _MARGIN + unit * size
    return fitted
