"""The queries and the answers of a recommender."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

#: What a query was made from: see `Recommendations`.
By = Literal["user", "history", "features", "default"]


@dataclass(frozen=True)
class Query:
    """One request for recommendations: by a user, raw features, or a history.

    Attributes
    ----------
    user_id
        Raw id; text is read as a number where ids are numbers. Unknown users are treated as out of
        vocabulary.
    k
        How many items, at least 1.
    filter_seen
        Leave out the items the user has seen, or the history.
    history
        Raw item ids, the latest last, instead of a user; for models that read histories.
    features
        Raw query features by name, instead of a user; one that is left out is missing.
    exclude
        Raw item ids that are not wanted.
    candidates
        Raw item ids: only these are ranked. None ranks all.
    """

    user_id: Any = None
    k: int = 10
    filter_seen: bool = True
    history: Sequence[Any] | None = None
    features: Mapping[str, Any] | None = None
    exclude: Sequence[Any] = ()
    candidates: Sequence[Any] | None = None


@dataclass(frozen=True)
class Recommendations:
    """The answer to a `Query`.

    Attributes
    ----------
    items
        ``item_id`` (raw), ``score`` and the item's raw features, best first.
    known
        Whether the user is in the training data, or any item of the history in the catalogue;
        otherwise the answer is that for an unknown user.
    by
        What the query was made from: a known ``user``, the ``history`` of an unknown one, or their
        ``features``. ``default`` is none of these: the same answer for everybody, by popularity
        where the model reads histories, otherwise for the average user.
    """

    items: list[dict[str, Any]]
    known: bool
    by: By = "user"


class Recommender(Protocol):
    """The interface that a bundle, a blend and a funnel share."""

    @property
    def title(self) -> str | None:
        """The item feature that people read, if there is one."""

    def recommend(
        self,
        user_id: Any = None,
        k: int = 10,
        filter_seen: bool = True,
        *,
        history: Sequence[Any] | None = None,
    ) -> Recommendations:
        """Return the best `k` items for a user."""
