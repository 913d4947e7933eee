"""The statistics of canonical tables: ``stats.json`` of the `prepare` stage."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from towermill.processed import Summary


class PreparedStats(Summary):
    """Statistics that all kinds of events have. Only people read the file.

    Parameters
    ----------
    version
        Version of the file; no other is valid.
    null_ids_dropped
        Rows dropped for a null id.
    """

    version: Literal[1] = 1
    null_ids_dropped: int = 0

    def write(self, folder: Path) -> None:
        """Write the statistics into the folder of the tables."""
        (folder / "stats.json").write_text(self.model_dump_json(indent=2, exclude_none=True))


class InteractionStats(PreparedStats):
    """Statistics of interactions; those of items and users are None without such a table.

    Parameters
    ----------
    null_user_ids, null_item_ids
        Rows without the id.
    item_rows, user_rows
        Rows of the table.
    item_rows_dropped, user_rows_dropped
        Rows of the table that were dropped for a null id.
    items_without_row, users_without_row
        Distinct ids of the interactions that the table lacks.
    interactions_without_item_row, interactions_without_user_row
        Their rows.
    """

    null_user_ids: int = 0
    null_item_ids: int = 0
    item_rows: int | None = None
    item_rows_dropped: int | None = None
    items_without_row: int | None = None
    interactions_without_item_row: int | None = None
    user_rows: int | None = None
    user_rows_dropped: int | None = None
    users_without_row: int | None = None
    interactions_without_user_row: int | None = None


class ImpressionStats(PreparedStats):
    """Statistics of impressions. ``items`` counts the distinct items shown.

    Parameters
    ----------
    repeated
        Impressions with the id, user and time of another one.
    unlabelled
        Impressions whose clicks are unknown.
    without_click, without_negative
        Impressions known to have no click, and those of which all that was shown was clicked.
    without_history, without_inview
        Impressions without a history, and those that show nothing.
    with_click_not_shown
        Impressions with a click on an item that they do not show.
    clicks_not_shown
        Such items, once per impression.
    null_inview
        Nulls among the items shown.
    histories
        Rows of histories.
    items_shown, items_clicked, items_read
        Distinct ids; ``read`` is of the histories.
    item_rows
        Rows of the items table; None without one.
    items_shown_without_row, items_clicked_without_row, items_read_without_row
        Distinct ids that the items table lacks; None without one.
    vector_rows, vector_size
        Vectors and their length; None without vectors.
    """

    repeated: int
    unlabelled: int
    without_click: int
    without_negative: int
    without_history: int
    without_inview: int
    with_click_not_shown: int
    clicks_not_shown: int
    null_inview: int
    histories: int
    items_shown: int
    items_clicked: int
    items_read: int
    item_rows: int | None = None
    items_shown_without_row: int | None = None
    items_clicked_without_row: int | None = None
    items_read_without_row: int | None = None
    vector_rows: int | None = None
    vector_size: int | None = None
