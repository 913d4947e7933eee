"""The one vocabulary: canonical column names, feature kinds, and the Merlin tags they carry."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

USER_ID: Final = "user_id"
ITEM_ID: Final = "item_id"
TIMESTAMP: Final = "timestamp"
RATING: Final = "rating"
#: Set by a split with ``cold: flag``: the row's user, or item, is not in the training split.
COLD_USER: Final = "cold_user"
COLD_ITEM: Final = "cold_item"
#: Says ``train``, ``valid`` or ``test``, for a split of kind ``given``.
SPLIT: Final = "split"
#: The fourth split, of impressions whose clicks are not told: to be predicted, for a competition.
HIDDEN: Final = "hidden"

#: An impression: its id, the history that its user had read, what was shown and clicked.
IMPRESSION_ID: Final = "impression_id"
HISTORY_ID: Final = "history_id"
HISTORY: Final = "history"
INVIEW: Final = "inview"
CLICKED: Final = "clicked"
#: Beside `inview`, 1 for what was clicked: ids cannot tell, as unknown articles share one.
LABELS: Final = "labels"
#: Of an item: when it came out, the tokens of its text, the vector of its content.
PUBLISHED: Final = "published"
TOKENS: Final = "tokens"
VECTOR: Final = "vector"

#: In ``users.parquet`` and ``items.parquet``: a raw column, and an id's rows in training.
RAW_PREFIX: Final = "raw_"
TRAIN_COUNT: Final = "train_count"
#: In ``items.parquet`` of a continued run: training rows of it and of all runs before it.
TRAIN_ROWS: Final = "train_rows"
#: Names that no feature or signal of the raw data may bear.
RESERVED: Final = (SPLIT, COLD_USER, COLD_ITEM, TRAIN_COUNT, TRAIN_ROWS)

#: Encoded ids, as NVTabular's Categorify gives them.
PADDING_ID: Final = 0
NULL_ID: Final = 1
OOV_ID: Final = 2
FIRST_ID: Final = 3

Entity = Literal["user", "item", "context"]
ENTITIES: Final[tuple[Entity, ...]] = ("user", "item", "context")
#: What names one of them.
ID_OF: Final[dict[Entity, str]] = {"user": USER_ID, "item": ITEM_ID}


class Feature(BaseModel):
    """How one raw column becomes a model input.

    A recipe may write the bare `kind` for the whole (``genre: category``).

    Parameters
    ----------
    kind
        ``category`` (one value), ``list`` (several categories: a list column, or text cut at
        `separator`), ``number``, ``hour``, ``weekday`` (of a timestamp column), ``age`` (days from
        this date column to the interaction) or ``title`` (carried along for people to read, never
        a model input).
    freq_threshold
        A category seen less often in training is out of vocabulary.
    max_size
        Keep at most this many categories, the most frequent ones; 0 keeps all.
    num_buckets
        Hash what is out of vocabulary into so many ids instead of one.
    shared_with
        Name of another feature whose vocabulary this one joins.
    separator
        Where a text column of kind ``list`` is cut.
    max_length
        Keep at most this many values of a list, the first ones.
    log, normalize
        Apply log(1 + x), then standardise by training mean and deviation.
    boundaries
        Turn a number into the index of its interval, which is then a category.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: Literal["category", "list", "number", "hour", "weekday", "age", "title"] = "category"
    freq_threshold: int = Field(0, ge=0)
    max_size: int = Field(0, ge=0)
    num_buckets: int = Field(0, ge=0)
    shared_with: str | None = None
    separator: str = "|"
    max_length: int | None = Field(None, ge=1)
    log: bool = False
    normalize: bool = True
    boundaries: tuple[float, ...] | None = None

    @property
    def is_category(self) -> bool:
        """Whether the feature ends as an encoded id, and so has a vocabulary."""
        return self.boundaries is not None or self.kind in ("category", "list", "hour", "weekday")


def _from_kind(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


FeatureField = Annotated[Feature, BeforeValidator(_from_kind)]
#: Raw column name to its feature.
Features = dict[str, FeatureField]
