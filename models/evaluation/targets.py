"""How well a ranker predicts its targets on the rows of a split."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from towermill.columns import USER_ID
from towermill.errors import DataError
from towermill.models.contracts.ranker import Ranker
from towermill.models.data.interactions import Processed
from towermill.models.evaluation.protocol import Validation
from towermill.models.metrics.clicks import auroc
from towermill.models.metrics.targets import (
    calibration,
    expected_calibration_error,
    grouped_auc,
    log_loss,
)
from towermill.progress import progress

#: Rows that are scored at a time.
_ROWS = 1 << 17


def evaluate_targets(model: Any, data: Processed, split: str) -> dict[str, dict[str, Any]]:
    """Return the metrics of each target of a ranker on the rows of a split.

    ``rate`` is the share of positive rows. ``auc`` is over all rows together, ``gauc`` its mean
    within users, weighted by rows. ``log_loss`` is in nats, ``log_loss_of_rate`` what predicting
    the rate for every row would have. ``calibration`` is the mean prediction over the rate, and
    ``ece`` the expected calibration error over ten bins. See `towermill.models.metrics.targets`.

    Raises
    ------
    DataError
        A target is 0, or 1, in all rows of the split.
    """
    if not model.targets:
        return {}
    found = _predict(model, data, split)
    labels = found.select(pl.col(model.targets).cast(pl.Boolean))
    return {
        target: _metrics(target, split, logits, labels[target].to_numpy(), found[USER_ID])
        for target, logits in zip(model.targets, found["logits"].to_numpy().T, strict=True)
    }


def validation_of_targets(data: Processed) -> Validation | None:
    """Return the metrics on the validation split as a function of a model; None without a split.

    They are the means over the model's targets.
    """
    return partial(_means, data=data) if data.has("validation") else None


def _means(model: Any, data: Processed) -> dict[str, float]:
    every = [
        {name: value for name, value in found.items() if value is not None and name != "rows"}
        for found in evaluate_targets(model, data, "validation").values()
    ]
    common = [name for name in every[0] if all(name in found for found in every)]
    return {name: float(np.mean([found[name] for found in every])) for name in common}


def _predict(model: Ranker, data: Processed, split: str) -> pl.DataFrame:
    """Return user, targets and ``logits`` of each row, an array of one a target."""
    names = [*model.query_schema.column_names, *model.item_schema.column_names, *model.targets]
    rows = data.scan(split).select(names)
    parts = []
    with progress() as bars:
        bar = bars.add_task("predicting", total=data.rows(split))
        for start in range(0, data.rows(split), _ROWS):
            block = rows.slice(start, _ROWS).collect()
            logits = model.target_logits(block)
            parts.append(
                block.select(USER_ID, *model.targets).with_columns(pl.Series("logits", logits))
            )
            bars.advance(bar, block.height)
    return pl.concat(parts)


def _metrics(
    target: str,
    split: str,
    logits: NDArray[np.float32],
    labels: NDArray[np.bool_],
    users: pl.Series,
) -> dict[str, Any]:
    if labels.all() or not labels.any():
        raise DataError(
            f"`model.target` should be 0 in some rows of the {split} split and 1 in the others. "
            f"{target!r} is {int(labels[0])} in all {len(labels)}. Change `split`, or the filters "
            "that leave only such rows."
        )
    chance = 1 / (1 + np.exp(-logits.astype(np.float64)))
    rate = float(labels.mean())
    return {
        "rows": len(labels),
        "rate": rate,
        "auc": auroc(logits, labels),
        "gauc": grouped_auc(logits, labels, users.to_numpy()),
        "log_loss": log_loss(chance, labels),
        "log_loss_of_rate": log_loss(np.full(len(labels), rate), labels),
        "calibration": calibration(chance, labels),
        "ece": expected_calibration_error(chance, labels),
    }
