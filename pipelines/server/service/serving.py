"""Helpers that the routes of a server share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from towermill.pipelines.bundle.query import Query, Recommendations
from towermill.pipelines.server.batching import Batcher, Lookups
from towermill.pipelines.server.metrics import Metrics
from towermill.pipelines.server.service.holder import Held, Holder
from towermill.pipelines.server.settings import Settings

Neighbours = list[dict[str, Any]]


@dataclass(frozen=True)
class Serving:
    """A server's bundle, its settings, and who computes."""

    settings: Settings
    holder: Holder
    metrics: Metrics
    recommend: Batcher[Query, Recommendations]
    similar: Batcher[tuple[Any, int], Neighbours]
    lookups: Lookups

    @classmethod
    def of(cls, holder: Holder, settings: Settings, metrics: Metrics) -> Serving:
        """Put a server together."""
        return cls(
            settings,
            holder,
            metrics,
            Batcher("recommend", _recommend, holder, settings, metrics),
            Batcher("similar", _similar, holder, settings, metrics),
            Lookups(settings),
        )

    def close(self) -> None:
        """Begin nothing more."""
        for part in (self.recommend, self.similar, self.lookups):
            part.close()


def serving(request: Request) -> Serving:
    """Return what serves a request."""
    found: Serving = request.app.state.serving
    return found


def _recommend(held: Held, queries: Sequence[Query]) -> list[Recommendations]:
    return held.bundle.answer(queries)


def _similar(held: Held, asked: Sequence[tuple[Any, int]]) -> list[Neighbours]:
    """Answer pairs of an item's id and k: those of one k together."""
    answers: dict[int, Neighbours] = {}
    for k in {k for _, k in asked}:
        places = [place for place, (_, wanted) in enumerate(asked) if wanted == k]
        found = held.bundle.similar_many([asked[place][0] for place in places], k)
        answers.update(zip(places, found, strict=True))
    return [answers[place] for place in range(len(asked))]
