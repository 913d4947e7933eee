"""Train trees by the library `xgboost`, which only this module imports."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from towermill.models.architectures.rankers.forest import Trees, perfect_trees
from towermill.progress import progress

if TYPE_CHECKING:
    from towermill.models.configs.rankers.xgboost import XGBoostConfig

logger = logging.getLogger(__name__)

#: Training rows for which a further thread is used.
_ROWS_A_THREAD: Final = 50_000

Floats = NDArray[np.float32]
#: Begins a pass over blocks of features ``(rows, features)`` and labels ``(rows, targets)``.
Rows = Callable[[], Iterator[tuple[Floats, Floats]]]


def boost(
    rows: Rows,
    held: Rows | None,
    config: XGBoostConfig,
    *,
    names: Sequence[str],
    seed: int,
    gpu: bool = False,
) -> list[tuple[Trees, float]]:
    """Return the trees of each target, and the logit to which they are added.

    Parameters
    ----------
    rows
        Training rows. They are kept as bins, a byte or two a number, and read a block at a time.
    held
        Validation rows, whose log loss ends the training.
    config
        See `XGBoostConfig`.
    names
        Of the targets, for the log.
    seed
        Of the rows and features drawn for a tree.
    gpu
        Whether to compute on a GPU, if `xgboost` can.
    """
    train = _matrix(rows, max_bin=config.max_bins, nthread=1)
    validation = (
        None if held is None else _matrix(held, max_bin=config.max_bins, ref=train, nthread=1)
    )
    labels, of_held = _labels(rows), None if held is None else _labels(held)
    found = []
    for place, name in enumerate(names):
        train.set_label(labels[:, place])
        rate = float(np.clip(labels[:, place].mean(dtype=np.float64), 1e-6, 1 - 1e-6))
        evaluated = []
        if validation is not None and of_held is not None:
            validation.set_label(of_held[:, place])
            evaluated.append((validation, "validation"))
        keys = _keys(config, seed, gpu) | {"base_score": rate, "nthread": _threads(len(labels))}
        with progress() as bars:
            bar = bars.add_task(f"boosting {name}", total=config.trees)
            booster = xgb.train(
                keys,
                train,
                config.trees,
                evals=evaluated,
                early_stopping_rounds=config.patience or None if evaluated else None,
                verbose_eval=False,
                callbacks=[_Progress(partial(bars.advance, bar))],
            )
        trees, loss = _trees(booster), ""
        if config.patience and evaluated:
            trees = trees[: booster.best_iteration + 1]
            loss = f", log loss {booster.best_score:.4f} on the validation split"
        logger.info("%s: %d trees%s", name, len(trees), loss)
        bias = float(np.log(np.float32(rate)) - np.log1p(-np.float32(rate)))
        found.append((perfect_trees(trees, config.max_depth), bias))
    return found


def _threads(rows: int) -> int:
    """Return the number of threads worth using: with few rows they mostly wait for one another."""
    return min(max(rows // _ROWS_A_THREAD, 1), os.cpu_count() or 1)


def _keys(config: XGBoostConfig, seed: int, gpu: bool) -> dict[str, Any]:
    return {
        "objective": "binary:logistic",
        "eval_metric": "logloss",
        "tree_method": "hist",
        "device": "cuda" if gpu and xgb.build_info()["USE_CUDA"] else "cpu",
        "max_depth": config.max_depth,
        "learning_rate": config.learning_rate,
        "reg_lambda": config.l2,
        "min_child_weight": config.min_child_weight,
        "subsample": config.subsample,
        "colsample_bytree": config.colsample,
        "max_bin": config.max_bins,
        "seed": seed,
    }


def _matrix(rows: Rows, **options: Any) -> xgb.QuantileDMatrix:
    return xgb.QuantileDMatrix(_Blocks(rows), **options)


def _labels(rows: Rows) -> Floats:
    return np.concatenate([labels for _, labels in rows()])


def _trees(booster: xgb.Booster) -> list[dict[str, Any]]:
    """Return the trees as XGBoost's JSON describes them, whose numbers read back exactly."""
    model = json.loads(booster.save_raw("json"))
    found: list[dict[str, Any]] = model["learner"]["gradient_booster"]["model"]["trees"]
    return found


class _Blocks(xgb.DataIter):  # type: ignore[misc]
    """The blocks of some rows, as often as `xgboost` asks for them."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._pass: Iterator[tuple[Floats, Floats]] = iter(())
        super().__init__()

    def reset(self) -> None:
        self._pass = self._rows()

    def next(self, input_data: Callable[..., Any]) -> bool:
        block = next(self._pass, None)
        if block is None:
            return False
        input_data(data=block[0], label=block[1][:, 0])
        return True


class _Progress(xgb.callback.TrainingCallback):  # type: ignore[misc]
    """Call a function after each tree."""

    def __init__(self, advance: Callable[[], None]) -> None:
        super().__init__()
        self._advance = advance

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        self._advance()
        return False
