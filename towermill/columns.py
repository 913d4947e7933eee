"""The names of canonical columns, and the meaning of encoded ids."""

from __future__ import annotations

from typing import Final, Literal

USER_ID: Final = "user_id"
ITEM_ID: Final = "item_id"
TIMESTAMP: Final = "timestamp"
RATING: Final = "rating"
#: Set by a split with ``cold: flag``: the row's user, or item, is not in the training split.
COLD_USER: Final = "cold_user"
COLD_ITEM: Final = "cold_item"
#: Says ``train``, ``validation`` or ``test``, for a split of kind ``given``.
SPLIT: Final = "split"
#: The fourth split, of impressions whose clicks are withheld: to be predicted, for a competition.
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
#: In a bundle's tables for other systems: since when a row holds.
EVENT_TIMESTAMP: Final = "event_timestamp"
#: Of a training row: how much its event counts.
EVENT_WEIGHT: Final = "event_weight"
#: Names that no feature or signal of the raw data may bear.
RESERVED: Final = (
    EVENT_WEIGHT,
    SPLIT,
    COLD_USER,
    COLD_ITEM,
    TRAIN_COUNT,
    TRAIN_ROWS,
    EVENT_TIMESTAMP,
)

#: In ``queries.parquet``: prefix of the columns with a baseline's metrics.
BASELINE_PREFIX: Final = "baseline:"

#: Encoded ids, as NVTabular's Categorify gives them.
PADDING_ID: Final = 0
NULL_ID: Final = 1
OOV_ID: Final = 2
FIRST_ID: Final = 3

#: What a source gives, a model learns from and is evaluated by: single interactions, of which the
#: whole catalogue is ranked, or impressions, which are ranked within.
Events = Literal["interactions", "impressions"]

Entity = Literal["user", "item", "context"]
ENTITIES: Final[tuple[Entity, ...]] = ("user", "item", "context")
#: What names one of them.
ID_OF: Final[dict[Entity, str]] = {"user": USER_ID, "item": ITEM_ID}
#: Share of the interactions that find their id in a table; below it, the two are of unlike ids.
LEAST_MATCH: Final = 0.5
