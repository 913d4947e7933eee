"""Cut-offs of metrics."""

from __future__ import annotations

from collections.abc import Sequence

from towermill.errors import TowermillError
from towermill.models.data.lists import check_positive


def check_cuts(k: Sequence[int], width: int | None = None) -> list[int]:
    """Return the cut-offs once each, ascending; a TowermillError if one does not do."""
    if not isinstance(k, Sequence) or not k:
        raise TowermillError(f"`k` should be a list of positive integers. Received: k={k!r}")
    for cut in k:
        check_positive("k", cut)
        if width is not None and cut > width:
            raise TowermillError(
                f"`k` should be at most {width}, the width of the ranked lists. Received: k={cut}"
            )
    return sorted(set(k))
