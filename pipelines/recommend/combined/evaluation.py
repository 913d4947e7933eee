"""Evaluate a funnel on the held-out split of its retriever's run: what each step gains."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from towermill.columns import FIRST_ID, USER_ID
from towermill.errors import DataError, RecipeError
from towermill.models.data.lists import Lists, TopK
from towermill.models.evaluation.catalogue import measure
from towermill.models.evaluation.paired import paired_differences
from towermill.models.metrics.catalogue.ranking import per_query
from towermill.pipelines.recommend.combined.funnel import Funnel
from towermill.pipelines.recommend.combined.leaks import check_leaks
from towermill.pipelines.recommend.combined.ordering import mixed, sort_candidates
from towermill.pipelines.recommend.held_out import FinishedRun, HeldOut
from towermill.pipelines.recommend.open import open_recommender

logger = logging.getLogger(__name__)

#: Cut-offs where the recipe of the retriever gives none.
_CUTS: Final = (10, 100)
#: Weights that are tried on the validation split; 0 is the retriever alone.
WEIGHTS: Final = tuple(step / 10 for step in range(11))
#: The metric that compares the steps, by its smallest cut-off.
_DECIDES: Final = "ndcg@"
#: Pairs that are scored at a time.
_PAIRS: Final = 1 << 20


@dataclass(frozen=True)
class _Scored:
    """The candidates of held-out queries with the scores of both steps, ``(queries, candidates)``.

    Attributes
    ----------
    held
        The retriever's lists.
    ranked
        The ranker's scores, NaN where it has none.
    known
        Queries whose user the ranker knows.
    """

    held: HeldOut
    ranked: NDArray[np.float32]
    known: NDArray[np.bool_]

    def by(self, weight: float) -> TopK:
        """Return the lists by a mixture of both scores; see `mixed`."""
        top = self.held.top
        scores = mixed(self.ranked, top.scores, self.known, weight)
        positions, scores = sort_candidates(top.positions.astype(np.int64), scores)
        return TopK(positions.astype(np.int32), scores)


class Evaluation:
    """The evaluation of a funnel.

    The retriever is the live model of its run, for the histories of its queries end before the
    split. The ranker is its bundle: a user has the features that it serves, without context.

    Parameters
    ----------
    funnel
        An open one, whose `retrieve` is ``runs/<recipe>/latest/bundle`` or another run's.

    Raises
    ------
    DataError
        There is no finished run around the retriever's bundle, or it ranks impressions.
    """

    def __init__(self, funnel: Funnel) -> None:
        self.funnel, path = funnel, funnel.config.retrieve
        if not (path.parent / "process").is_dir():
            raise DataError(
                f"Evaluating needs the held-out rows of the retriever's run. Expected `retrieve` "
                f"to be runs/<recipe>/latest/bundle; there is no run around {path}."
            )
        self.run = FinishedRun(path.parent)

    @classmethod
    def of(cls, path: Path) -> Evaluation:
        """Return the evaluation of the funnel in a YAML file.

        Raises
        ------
        RecipeError
            The file is of another kind.
        """
        opened: Any = open_recommender(path)
        if opened.manifest.kind != Funnel.kind:
            raise RecipeError(
                f"Expected a file with the key `funnel:`; {path} is a {opened.manifest.kind}. Of a "
                "single bundle, `towermill run` has written metrics.json."
            )
        return cls(opened)

    def rank(self, split: str, k: int) -> HeldOut:
        """Return the funnel's best `k` items of each held-out query."""
        scored = self._scored(split)
        top = scored.by(self.funnel.config.weight)
        return replace(scored.held, top=_cut(top, k))

    def report(self) -> dict[str, Any]:
        """Return the metrics of each step on the test split.

        Returns
        -------
        dict
            ``steps`` has the metrics of the ``retriever`` alone, of the ``funnel``, and of the
            ``bound``: the best order of the candidates that there is, of whose recall no ranker can
            make more. ``compared`` has the paired difference of the funnel to the retriever, and
            its interval (see `paired_differences`). ``validation`` has the deciding metric by
            weight on the validation split, and the best weight.

        Raises
        ------
        DataError
            The test split has nothing to rank, or the ranker was trained on some of it.
        """
        scored, config = self._scored("test"), self.funnel.config
        data, queries = scored.held.data, scored.held.queries
        tops = {
            "retriever": scored.held.top,
            "funnel": scored.by(config.weight),
            "bound": _ideal(scored.held.top, queries.relevant),
        }
        cuts = self._cuts
        found = {
            name: measure(top, data, queries, cuts, self.run.told.metrics)
            for name, top in tops.items()
        }
        metric = f"{_DECIDES}{cuts[0]}"
        each = {
            name: per_query(tops[name], queries.relevant, cuts[:1], None, data.items.height)[metric]
            for name in ("retriever", "funnel")
        }
        only = {"retriever": each["retriever"]}
        return {
            "protocol": "catalogue",
            "split": "test",
            "query": self.run.told.query,
            "filter_seen": self.run.told.filter_seen,
            "queries": len(queries),
            "known_to_ranker": int(scored.known.sum()),
            "catalogue": data.items.height,
            "candidates": config.candidates,
            "weight": config.weight,
            "steps": found,
            "compared": {
                "metric": metric,
                **paired_differences(each["funnel"], only, queries.features, self.run.seed),
            },
            "validation": self._weights(metric),
        }

    @property
    def _cuts(self) -> Sequence[int]:
        """The cut-offs, up to the number of candidates, which is one itself: it has the bound."""
        most = min(self.funnel.config.candidates, self.run.data.items.height)
        return sorted({k for k in self.run.told.k or _CUTS if k < most} | {most})

    def _weights(self, metric: str) -> dict[str, Any] | None:
        """Return the deciding metric by weight on the validation split, if there is one."""
        if not self.run.has("validation"):
            return None
        scored = self._scored("validation")
        data, queries = scored.held.data, scored.held.queries
        k = int(metric.removeprefix(_DECIDES))
        lists = {w: scored.by(w) if w else scored.held.top for w in WEIGHTS}
        values = {w: measure(top, data, queries, (k,))[metric] for w, top in lists.items()}
        # Of equal ones the largest: the ranker's scores are the ones to be explained.
        best = max(WEIGHTS, key=lambda weight: (values[weight], weight))
        return {"metric": metric, "weights": values, "best": best}

    def _scored(self, split: str) -> _Scored:
        held = self.run.rank(split, self.funnel.config.candidates)
        ordering, ranker = self.funnel.ordering, self.funnel.ranker
        check_leaks(held, self.funnel.retriever, ranker, self.funnel.config.rank, split)
        positions = held.top.positions
        # A run's tables are in the order of its bundle's.
        items = np.where(positions < 0, -1, held.data.ranking_order[positions])
        users = held.queries.features[USER_ID].to_numpy().astype(np.int64) - FIRST_ID
        users = np.where(users < 0, -1, ordering.users[np.maximum(users, 0)])
        known = users >= 0
        ranked = np.full(positions.shape, np.nan, np.float32)
        block = max(1, _PAIRS // positions.shape[1])
        for start in range(0, len(users), block):
            part = slice(start, start + block)
            batch = ranker.users_batch(np.maximum(users[part], 0))
            ranked[part] = ordering.score(batch, known[part], items[part])
        return _Scored(held, ranked, known)


def _cut(top: TopK, k: int) -> TopK:
    return TopK(top.positions[:, :k], top.scores[:, :k])


def _ideal(top: TopK, relevant: Lists) -> TopK:
    """Return the candidates with the held-out ones first."""
    rows = np.repeat(np.arange(len(relevant)), relevant.lengths)
    width = int(max(top.positions.max(initial=0), relevant.values.max(initial=0))) + 1
    wanted = np.isin(
        top.positions + np.arange(len(relevant))[:, None] * width, relevant.values + rows * width
    ) & (top.positions >= 0)
    order = np.argsort(~wanted, axis=1, kind="stable")
    scores = np.take_along_axis(wanted, order, axis=1).astype(np.float32)
    return TopK(np.take_along_axis(top.positions, order, axis=1), scores)
