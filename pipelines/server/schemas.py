"""Schemas of requests and answers: the server's OpenAPI is generated from these.

Requests are validated by them; answers are written as they are (`responses`)
and validated in tests. Limits that are settings are in `limits`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    StrictBool,
    StrictInt,
    StrictStr,
)

from towermill.pipelines.bundle.query import Query


def _whole(value: Any) -> Any:
    """Return 3.0 as 3: to JSON Schema, and to JavaScript, it is an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _in_64_bits(value: int) -> int | str:
    """Return a number that is too large for any column as text, which every bundle can look up."""
    return value if -(2**63) <= value < 2**63 else str(value)


Text = Annotated[StrictStr, Field(max_length=1024)]
#: Raw, as in the data; a number may be given as text.
Id = Annotated[StrictInt, BeforeValidator(_whole), AfterValidator(_in_64_bits)] | Text

Scalar = (
    Annotated[StrictInt, AfterValidator(_in_64_bits)]
    | Annotated[FiniteFloat, Field(strict=True)]
    | StrictBool
    | Text
    | None
)
FeatureName = Annotated[str, Field(max_length=256)]
# Bounds come before the validator: after it they would be missing in the OpenAPI.
Count = Annotated[StrictInt, Field(ge=1), BeforeValidator(_whole)]
UpToThree = Annotated[StrictInt, Field(ge=0, le=3), BeforeValidator(_whole)]


class Asked(BaseModel):
    """A request's body."""

    model_config = ConfigDict(extra="forbid")


class RecommendRequest(Asked):
    """A user, a history or features; without any, a new user."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user_id": 196, "k": 5}, {"user_id": "196", "reasons": 2}]}
    )

    user_id: Annotated[Id | None, Field(description="Raw id; not known: served as new.")] = None
    k: Annotated[Count, Field(description="How many items.")] = 10
    filter_seen: Annotated[
        StrictBool, Field(description="Leave out items the user has seen, or the history.")
    ] = True
    history: Annotated[
        list[Id] | None, Field(description="Instead of a user: items read, the last one last.")
    ] = None
    features: Annotated[
        dict[FeatureName, Scalar | list[Scalar]] | None,
        Field(description="Instead of a user: raw query features by name.", max_length=64),
    ] = None
    exclude: Annotated[list[Id], Field(description="Items that are not wanted.")] = []
    candidates: Annotated[
        list[Id] | None, Field(description="Only these are ranked; null ranks all.")
    ] = None
    reasons: Annotated[
        UpToThree, Field(description="Number of nearest history items to return for each item.")
    ] = 0

    def query(self) -> Query:
        """Return the query for the bundle."""
        return Query(
            self.user_id,
            self.k,
            self.filter_seen,
            self.history,
            self.features,
            self.exclude,
            self.candidates,
        )


class RecommendBatchRequest(Asked):
    """Queries that are answered from one bundle."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"queries": [{"user_id": 196, "k": 5}, {"user_id": 22, "k": 3}]}]
        }
    )

    queries: Annotated[list[RecommendRequest], Field(min_length=1)]


class SimilarRequest(Asked):
    """Which item's neighbours."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"item_id": 100, "k": 5}]})

    item_id: Id
    k: Annotated[Count, Field(description="How many items.")] = 10


class SimilarBatchRequest(Asked):
    """Which items' neighbours, from one bundle."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"item_ids": [100, 50], "k": 5}]})

    item_ids: Annotated[list[Id], Field(min_length=1)]
    k: Annotated[Count, Field(description="How many items, for each.")] = 10


class Item(BaseModel):
    """An item: its id, and its raw features by their own names."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"examples": [{"item_id": 100, "title": "Fargo (1996)", "year": 1996}]},
    )

    item_id: Id


class ScoredItem(Item):
    """An item with a score: higher is better, or nearer."""

    score: float | None


class RecommendedItem(ScoredItem):
    """An item with its score and, on request, the nearest items of the history."""

    because: list[ScoredItem] = []


class Recommended(BaseModel):
    """Items, best first."""

    known: Annotated[bool, Field(description="Whether the user, or the history, was known.")]
    by: Annotated[
        Literal["user", "history", "features", "default"],
        Field(description="What the query was made from; `default` is the same for everybody."),
    ]
    items: list[RecommendedItem]


class Answer(BaseModel):
    """Says which bundle all of it is from, as the header X-Towermill-Bundle does."""

    bundle: Annotated[str, Field(description="The bundle's content id.")]


class RecommendAnswer(Answer, Recommended):
    """Items for one query, best first."""


class RecommendBatchAnswer(Answer):
    """One entry a query, in their order."""

    answers: list[Recommended]


class SimilarAnswer(Answer):
    """Items, nearest first."""

    items: list[ScoredItem]


class SimilarBatchAnswer(Answer):
    """One list an item, in their order."""

    answers: list[list[ScoredItem]]


class ItemAnswer(Answer):
    """One item."""

    item: Item


class ItemsAnswer(Answer):
    """Items that were found."""

    items: list[Item]


class User(BaseModel):
    """A user: the id, and the raw features by their own names."""

    model_config = ConfigDict(extra="allow")

    user_id: Id


class UsersAnswer(Answer):
    """Some users."""

    users: list[User]


class UserAnswer(Answer):
    """A user, and some of the items they have seen."""

    user: User
    history: list[Item]
    history_length: Annotated[int, Field(description="Length of the whole history.")]


class BundleAnswer(Answer):
    """The bundle in service."""

    recipe: str
    kind: Annotated[str, Field(description="retriever, ranker, blend or funnel")]
    title: Annotated[str | None, Field(description="The item feature that people read.")]
    rows: dict[str, int]
    query_features: list[str]
    metrics: dict[str, Any]


class Alive(BaseModel):
    """The process answers."""

    status: str


class Ready(Answer):
    """A bundle is served."""

    status: str
    since: Annotated[str, Field(description="When it was loaded, as ISO 8601.")]


class ReloadAnswer(Answer):
    """The bundle now in service."""

    changed: Annotated[bool, Field(description="Whether it is another bundle than before.")]


class Problem(BaseModel):
    """What went wrong, and what to do."""

    detail: str
