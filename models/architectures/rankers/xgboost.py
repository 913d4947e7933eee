"""Gradient-boosted trees: XGBoost trains them, and a TensorFlow graph holds what it found."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
import tensorflow as tf
from merlin.schema import Schema
from numpy.typing import NDArray

from towermill.columns import FIRST_ID, USER_ID
from towermill.errors import DataError, RecipeError
from towermill.extras import install_command
from towermill.models.architectures.rankers.forest import Forests
from towermill.models.architectures.rankers.ranker import PairModel
from towermill.models.contracts.ranker import Ranker
from towermill.models.contracts.retriever import nothing_to_learn
from towermill.models.data.batches.from_frame import to_batch
from towermill.models.data.interactions import Processed
from towermill.models.data.targets import check_targets
from towermill.models.data.tensors import as_tensors
from towermill.models.objectives.known_pairs import KnownPairs

if TYPE_CHECKING:
    from towermill.models.configs.rankers.xgboost import XGBoostConfig

Floats = NDArray[np.float32]

#: Rows that are read at a time.
_ROWS: Final = 1 << 17
#: Their places decide the draws, with the seed.
_SPLITS: Final = ("train", "validation")


def build_xgboost(data: Processed, config: XGBoostConfig) -> Ranker:
    """Return a ranker of empty trees, which `solve_xgboost` fills.

    Raises
    ------
    SchemaError
        The schema lacks a user id or an item id, or a list holds numbers.
    """
    schemas = data.query_schema, data.item_schema
    inputs = Schema([*schemas[0], *schemas[1]])
    count = max(len(config.target_names), 1)
    forests = Forests(inputs, config.list_values, config.max_depth, count)
    model = PairModel(inputs, forests)
    ranker = Ranker(model, *schemas, nothing_to_learn, targets=config.target_names)
    ranker.build(data)
    return ranker


def solve_xgboost(model: Ranker, data: Processed, config: XGBoostConfig, *, seed: int) -> None:
    """Train a forest for each target, and put it into the ranker.

    Raises
    ------
    RecipeError
        `xgboost` is not installed.
    DataError
        There are no training rows, or a target is not 0 and 1.
    """
    try:
        from towermill.models.architectures.rankers.boosting import boost
    except ImportError as error:
        raise RecipeError(
            "`model.kind: xgboost` needs the package `xgboost`, which is not installed. Install "
            f"it: {install_command('xgboost')}"
        ) from error
    if not data.rows("train"):
        raise DataError("Expected training rows; the `train` split has none.")
    check_targets(data, config.target_names)
    rows = partial(_rows_of, model=model, data=data, config=config, seed=seed)
    found = boost(
        partial(rows, "train"),
        partial(rows, "validation") if data.has("validation") else None,
        config,
        names=config.target_names or ("interactions",),
        seed=seed,
        gpu=bool(tf.config.get_visible_devices("GPU")),
    )
    for forest, (trees, bias) in zip(model.model.body.forests, found, strict=True):
        forest.assign(trees, bias)


def _rows_of(
    split: str, *, model: Ranker, data: Processed, config: XGBoostConfig, seed: int
) -> Iterator[tuple[Floats, Floats]]:
    """Yield blocks of a split: features ``(rows, features)`` and labels ``(rows, targets)``."""
    names = [*model.schema.column_names, *config.target_names]
    rows, known = data.scan(split).select(names), KnownPairs(data)
    for start in range(0, data.rows(split), _ROWS):
        block = rows.slice(start, _ROWS).collect()
        labels = block.select(pl.col(config.target_names).cast(pl.Float32)).to_numpy()
        if not config.target_names:
            rng = np.random.default_rng((seed, _SPLITS.index(split), start))
            drawn = _negatives(block, data, model, config.num_negatives, known, rng)
            labels = np.repeat([1.0, 0.0], (block.height, drawn.height)).astype(np.float32)[:, None]
            block = pl.concat([block, drawn])
        yield _numbers(block, model), labels


def _negatives(
    block: pl.DataFrame,
    data: Processed,
    model: Ranker,
    count: int,
    known: KnownPairs,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """Return the rows with items drawn in place of their own, without pairs of training."""
    several = np.repeat(np.arange(block.height), count)
    drawn = rng.integers(0, data.items.height, len(several))
    met = known(block[USER_ID].to_numpy()[several], drawn + FIRST_ID).numpy()
    several, drawn = several[~met], drawn[~met]
    items = data.items.select(model.item_schema.column_names)[drawn]
    queries = block.select(model.query_schema.column_names)[several]
    pairs: pl.DataFrame = pl.concat([queries, items], how="horizontal")
    return pairs.select(pl.col(name).cast(kind) for name, kind in block.schema.items())


def _numbers(rows: pl.DataFrame, model: Ranker) -> Floats:
    """Return what trees split: the same layer computes it in training and at serving."""
    pairs = model.model
    features = pairs.prepare(as_tensors(to_batch(rows, model.schema)))
    found: Floats = pairs.body.features(features).numpy()
    return found
