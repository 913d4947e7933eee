"""Protocols: how a model is validated during training, and tested after it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from towermill.models.contracts.ranker import Ranker
from towermill.models.contracts.retriever import Retriever
from towermill.models.data.interactions import Processed

Model = Retriever | Ranker
#: A model to its metrics on the validation split.
Validation = Callable[[Any], dict[str, float]]


@dataclass(frozen=True)
class Ranking:
    """Settings of the ranking of queries, and its metrics.

    Attributes
    ----------
    query, filter_seen
        See `Processed.queries`; over the catalogue alone.
    max_queries
        At most this many queries or impressions, a fixed sample; 0 ranks all.
    metrics
        Names of metrics beside Towermill's own.
    baselines
        Names of baselines over the catalogue; None for the default ones.
    """

    query: Literal["user", "interaction"] = "user"
    filter_seen: bool = True
    max_queries: int = 0
    metrics: tuple[str, ...] = ()
    baselines: tuple[str, ...] | None = None


class Protocol(ABC):
    """The evaluation of models of one kind of events.

    Attributes
    ----------
    kind
        The events.
    decides
        The metric, without a cut-off or with ``@k`` for the smallest, by which models are compared.
    """

    kind: ClassVar[str]
    decides: ClassVar[str]

    @abstractmethod
    def open(self, processed: Path) -> Processed:
        """Return the processed data set."""

    @abstractmethod
    def validation(self, data: Any, monitor: str, ranking: Ranking) -> Validation | None:
        """Return the metrics on the validation split, `monitor` among them, as a function.

        None if there is no validation split, or it has nothing to rank.
        """

    @abstractmethod
    def report(
        self,
        model: Model,
        data: Any,
        ranking: Ranking,
        k: Sequence[int] | None,
        seed: int,
        *,
        segments: bool = False,
        by_query: Path | None = None,
    ) -> dict[str, Any]:
        """Return the content of ``metrics.json``.

        Parameters
        ----------
        model, data
            Trained; its data.
        ranking
            Which queries of the test split are ranked, and how.
        k
            Cut-offs; None for the protocol's own.
        seed
            Of random baselines and of intervals.
        segments
            Report known and new users apart, where the data tells them apart.
        by_query
            Where to write the metrics of each query, as Parquet; see `ByQuery`.

        Raises
        ------
        DataError
            The test split has nothing to rank.
        """
