"""Whether MIND's impressions are labelled as published."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from towermill.columns import INVIEW
from towermill.errors import DataError

_ROW = "__row"
#: An item with anything but 0 or 1 after the hyphen, as at the end of a line that was cut.
_STRANGE = r"\S*-(?:[^01\s]\S*|[01]\S+)?(?:\s|$)"
_LABELLED = r"-[01](?:\s|$)"
_ITEM = r"\S+"
_SHOWN = 60


def require_labels(behaviors: pl.LazyFrame, path: Path) -> None:
    """Refuse labels other than 0 and 1, and impressions of which only some items are labelled.

    Parameters
    ----------
    behaviors
        The lines of `path`, in its order; what was shown is still text.

    Raises
    ------
    DataError
        A line has other labels.
    """
    shown = pl.col(INVIEW).fill_null("")
    # Labels end words: with a blank before the next word, none is counted twice.
    labels = shown.str.count_matches(_LABELLED)
    some = (labels > 0) & (labels < shown.str.count_matches(_ITEM))
    strange = shown.str.contains(_STRANGE)
    bad = behaviors.select(INVIEW).with_row_index(_ROW).filter(strange | some).head(1)
    found = bad.collect(engine="streaming")
    if found.is_empty():
        return
    row, text = found.row(0)
    words = [word for word in text.split() if word[-2:] not in ("-0", "-1")]
    raise DataError(
        f"{path}, line {row + 1}: each item shown should have a label, 0 or 1 (N1234-0), or none "
        f"of a line should. Received: {', '.join(words)[:_SHOWN]!r}. Mend the line, or unpack the "
        "file again."
    )
