"""The sections of a table source: where each table is, and what its columns are."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator, model_validator

from towermill.columns import ITEM_ID, USER_ID
from towermill.features.config import Features
from towermill.section import Section
from towermill.workflows.sources.reading.options import ReadingOptions
from towermill.workflows.sources.sessions import Gap


class InteractionsTable(Section):
    """The location of the interactions, and the roles of their columns.

    Parameters
    ----------
    path
        Parquet, CSV, TSV or JSON lines file, folder or glob.
    user_id, item_id
        Their columns.
    timestamp, rating
        Their columns, where there are any; a column named ``timestamp`` is found by itself.
    signals
        Further outcomes of an interaction: a list of columns, or canonical name to column
        (``{click: was_clicked}``). They are numbers or Booleans, or text if `types` or
        `text_signals` says so.
    text_signals
        Signals that are text. Those of which the recipe lists values that are text
        (``positive: {event: [cart, buy]}``) are added.
    session_gap
        For logs without users: cut the rows of each ``user_id`` (a device, a cookie) where they are
        further apart than this (``30m``) into sessions, each of which becomes a user.
    split
        Column that says ``train``, ``validation`` or ``test``, for a split of kind ``given``.
    features
        Context columns and their features.
    reading
        How these files are read, in place of what the source says of all tables.
    """

    path: str
    user_id: str = USER_ID
    item_id: str = ITEM_ID
    timestamp: str | None = None
    rating: str | None = None
    signals: dict[str, str] = Field(default_factory=dict)
    text_signals: tuple[str, ...] = ()
    session_gap: Gap | None = None
    split: str | None = None
    features: Features = Field(default_factory=dict)
    reading: ReadingOptions | None = None

    @field_validator("signals", mode="before", json_schema_input_type=dict[str, str] | list[str])
    @classmethod
    def _named(cls, value: Any) -> Any:
        return {name: name for name in value} if isinstance(value, list) else value

    @model_validator(mode="after")
    def _two_ids(self) -> InteractionsTable:
        if self.user_id == self.item_id:
            raise ValueError(
                "`user_id` and `item_id` should be two columns. Received for both: "
                f"{self.user_id!r}"
            )
        return self

    @model_validator(mode="after")
    def _text_signals_are_signals(self) -> InteractionsTable:
        if strange := [name for name in self.text_signals if name not in self.signals]:
            raise ValueError(
                f"`text_signals` should name signals. Received: {strange[0]!r}, which is not in "
                f"`signals` ({', '.join(self.signals) or 'none'})"
            )
        return self


class ItemsTable(Section):
    """The location of the items: one row per id."""

    path: str
    item_id: str = ITEM_ID
    features: Features = Field(default_factory=dict)
    reading: ReadingOptions | None = None


class UsersTable(Section):
    """The location of the users: one row per id."""

    path: str
    user_id: str = USER_ID
    features: Features = Field(default_factory=dict)
    reading: ReadingOptions | None = None
