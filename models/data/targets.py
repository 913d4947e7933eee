"""Targets: signals of interactions that a ranker predicts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from towermill.columns import COLD_ITEM, COLD_USER, TIMESTAMP
from towermill.errors import DataError
from towermill.models.data.interactions import Processed


def check_targets(data: Processed, targets: Sequence[str]) -> None:
    """Refuse targets that the training rows do not have as 0 and 1.

    Raises
    ------
    DataError
        A target is missing, an input of the model, or holds something else than both 0 and 1.
    """
    kinds = data.scan("train").collect_schema()
    inputs = {*data.query_schema.column_names, *data.item_schema.column_names}
    others = {*inputs, TIMESTAMP, COLD_USER, COLD_ITEM}
    numbers = [name for name, kind in kinds.items() if kind.is_numeric() or kind == pl.Boolean]
    signals = ", ".join(name for name in numbers if name not in others) or "none"
    key = "`model.target`" if len(targets) == 1 else "`model.targets`"
    for target in targets:
        if target in inputs or target not in kinds:
            found = "an input of the model" if target in inputs else "which is not among them"
            raise DataError(
                f"{key} should name a signal of the interactions; they have: {signals}. "
                f"Received: {target!r}, {found}. Correct the name. Without a target, `dlrm` and "
                "others learn from drawn negatives."
            )
        values = data.scan("train").select(pl.col(target).unique().sort()).collect()[target]
        if set(values.to_list()) != {0, 1}:
            shown = ", ".join(map(str, values.head(5))) + (", …" if len(values) > 5 else "")
            raise DataError(
                f"{key} should be 0 in some training rows and 1 in the others. The values of "
                f"{target!r} are: {shown}. Remove `features.positive` or `filters.min_signal` if "
                f"they filter by it, or name another signal: {signals}. Without a target, `dlrm` "
                "and others learn from drawn negatives."
            )


class PositiveRows(Processed):
    """A processed data set restricted to rows with a positive target.

    Rows with target 0 were shown but are not answers.

    Parameters
    ----------
    path
        The folder with ``schema.pbtxt``.
    target
        The column of the splits that is positive.
    """

    def __init__(self, path: Path, target: str) -> None:
        super().__init__(path)
        self.target = target

    def scan(self, split: str) -> pl.LazyFrame:
        return super().scan(split).filter(pl.col(self.target).cast(pl.Boolean))


def answers_of(data: Processed, targets: Sequence[str]) -> Processed:
    """Return the data whose rows are answers to queries: with targets, where the first is 1."""
    return PositiveRows(data.path, targets[0]) if targets else data
