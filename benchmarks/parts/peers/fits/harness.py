"""What the peers' scripts share: read the split, time the fit, write ranked lists.

A script calls `peer` with a function ``fit(train, seed, **setting)``. It returns a function of a
history (`Pairs`) that returns, for every user, the scores of all items (floats) or the best items
in order (integers). Only NumPy, pandas and SciPy are imported, so it runs in every environment.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse

#: Length of the lists.
K = 100


@dataclass(frozen=True)
class Pairs:
    """Interactions by codes from 0, in the order of their timestamps.

    Attributes
    ----------
    frame
        ``user``, ``item`` and ``timestamp``.
    users, items
        Number of users and items of the training split.
    """

    frame: pd.DataFrame
    users: int
    items: int

    def matrix(self) -> scipy.sparse.csr_matrix:
        """Return users by items, float32, 1 for each pair."""
        ones = np.ones(len(self.frame), np.float32)
        where = (self.frame["user"].to_numpy(), self.frame["item"].to_numpy())
        found = scipy.sparse.csr_matrix((ones, where), shape=(self.users, self.items))
        found.data[:] = 1
        return found


def peer(fit: Callable[..., Callable[[Pairs], np.ndarray]]) -> None:
    """Fit on the training split, and write lists for validation and test with the seconds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--setting", type=json.loads, default={})
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    read = {name: pd.read_parquet(options.data / f"{name}.parquet") for name in SPLITS}
    users, items = (np.unique(read["train"][name]) for name in ("user", "item"))

    def pairs(*names: str) -> Pairs:
        rows = pd.concat([read[name] for name in names])
        rows = rows[rows["user"].isin(users) & rows["item"].isin(items)]
        codes = {"user": users.searchsorted(rows["user"]), "item": items.searchsorted(rows["item"])}
        frame = rows.assign(**codes).sort_values("timestamp", kind="stable", ignore_index=True)
        return Pairs(frame, len(users), len(items))

    started = time.process_time()
    recommend = fit(pairs("train"), options.seed, **options.setting)
    seconds = time.process_time() - started
    for split, known in {"validation": ("train",), "test": SPLITS}.items():
        history = pairs(*known)
        rows, places, best = as_lists(recommend(history), history)
        lists = {"user": users[rows], "item": items[best], "rank": places + 1}
        pd.DataFrame(lists).to_parquet(options.out / f"{split}.parquet")
    (options.out / "fit.json").write_text(json.dumps({"seconds": seconds}))


#: Splits whose rows a query may know.
SPLITS = ("train", "validation")


def as_lists(found: Any, history: Pairs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return user, place from 0 and item of the best items that the history does not hold.

    Examples
    --------
    >>> history = Pairs(pd.DataFrame({"user": [0], "item": [2]}), 1, 3)
    >>> as_lists(np.array([[0.1, 0.3, 0.9]]), history)
    (array([0, 0]), array([0, 1]), array([1, 0]))
    """
    found = np.asarray(found)
    seen = history.matrix().toarray() > 0
    if found.dtype.kind == "f":
        scores = np.where(seen, -np.inf, found)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :K]
        kept = np.take_along_axis(scores, best, axis=1) > -np.inf
    else:
        best = found[:, :K]
        kept = (best >= 0) & ~np.take_along_axis(seen, np.maximum(best, 0), axis=1)
    rows, places = np.nonzero(kept)
    return rows, places, best[rows, places]
