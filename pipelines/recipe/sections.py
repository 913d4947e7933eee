"""Sections of a recipe: evaluate, export and its gates, continue."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from towermill.models.baselines import BASELINES
from towermill.pipelines.recipe.index import IndexConfig
from towermill.section import PartName, Section


class GatesConfig(Section):
    """The thresholds a bundle has to reach to be published.

    Parameters
    ----------
    min_distinct
        Minimum share of distinct item embeddings.
    min_rank
        Minimum effective rank of the item embeddings, or half the dimension if that is less.
    """

    min_distinct: float = Field(0.01, ge=0, le=1)
    min_rank: float = Field(1.5, ge=0)


class EvaluateConfig(Section):
    """Settings of the ranking of the test split.

    Parameters
    ----------
    k
        Cut-offs. Left out: 10 and 100 over the catalogue, 5 and 10 within impressions.
    filter_seen
        Over the catalogue: leave out items the user has in earlier splits.
    query
        Over the catalogue. ``user``: one query per user, the mean over users. ``interaction``: one
        query per held-out row, the mean over rows.
    max_queries
        Rank at most this many queries or impressions, a fixed sample (of validation as well); 0
        ranks all.
    metrics
        Metrics beside Towermill's own: names that other packages declare, or ``module:Name`` of
        your own (see docs/extending/metrics.md).
    baselines
        Over the catalogue: baselines beside the result, of popularity, random, ease, item_knn and
        als. Left out: popularity, random and, unless the data is large, ease.
    """

    k: tuple[PositiveInt, ...] | None = Field(None, min_length=1)
    filter_seen: bool = True
    query: Literal["user", "interaction"] = "user"
    max_queries: int = Field(0, ge=0)
    metrics: tuple[str, ...] = ()
    baselines: tuple[Annotated[str, PartName(BASELINES)], ...] | None = None


class ContinueConfig(Section):
    """The finished run to continue with new data.

    Parameters
    ----------
    run
        Its folder: ``runs/<recipe>/latest``, or one of ``runs/<recipe>/by-run``.
    replay
        Number of earlier training rows to replay per new row.
    epochs
        At most this many passes, and no more than `train.epochs`.
    learning_rate_factor
        Factor on `train.learning_rate`.
    """

    run: Path
    replay: float = Field(1.0, ge=0)
    epochs: PositiveInt = 4
    learning_rate_factor: float = Field(0.3, gt=0)


class ExportConfig(Section):
    """Settings of the bundle's contents.

    Parameters
    ----------
    index
        How the nearest items are found: see `IndexConfig`.
    gates
        The thresholds for publishing: see `GatesConfig`.
    tolerance
        Largest difference allowed between an embedding of the trained model and of its reloaded
        export.
    """

    index: IndexConfig = IndexConfig()
    gates: GatesConfig = GatesConfig()
    tolerance: float = Field(1e-4, gt=0)
