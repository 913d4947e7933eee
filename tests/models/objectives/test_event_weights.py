"""Weights of events: a row that weighs two is a row that occurs twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import tensorflow as tf

from towermill.columns import EVENT_WEIGHT, HISTORY
from towermill.models.build import build_model
from towermill.models.configs import MODELS
from towermill.models.data.batches.history import HistoryBatches
from towermill.models.data.interactions import Processed
from towermill.models.objectives.catalogue_losses.base import Targets
from towermill.models.objectives.pair_losses import LabelledLoss


class _Logits(tf.keras.Model):  # type: ignore[misc]
    def call(self, inputs: Any, training: Any = None, every: bool = False) -> tf.Tensor:
        return inputs["x"][:, None]


def test_labelled_rows() -> None:
    loss = LabelledLoss(_Logits(), ("click",))
    rows = {"x": tf.constant([0.3, -1.0]), "click": tf.constant([1.0, 0.0])}
    twice = {name: tf.gather(values, [0, 0, 1]) for name, values in rows.items()}
    weighted = rows | {EVENT_WEIGHT: tf.constant([2.0, 1.0])}
    assert float(loss(weighted)) == pytest.approx(float(loss(twice)))


def test_targets() -> None:
    alike = Targets(tf.zeros([2, 1]), tf.constant([0, 0, 1]), tf.constant([0, 1, 2]))
    weighted = alike._replace(importance=tf.constant([1.0, 3.0, 2.0]))
    expected = alike.weights.numpy() * [0.5, 1.5, 1.0]
    np.testing.assert_allclose(weighted.weights.numpy(), expected)


@pytest.fixture
def weighted(history_world: Path, tmp_path: Path) -> Processed:
    """Every training row of an item of odd id weighs 5."""
    for file in history_world.iterdir():
        if file.name not in ("train", "sequences.parquet"):
            (tmp_path / file.name).symlink_to(file)
    (tmp_path / "train").mkdir()
    weight = pl.when(pl.col("item_id") % 2 == 1).then(5.0).otherwise(1.0).cast(pl.Float32)
    rows = pl.read_parquet(history_world / "train" / "*.parquet")
    rows.with_columns(weight.alias(EVENT_WEIGHT)).write_parquet(tmp_path / "train" / "0.parquet")
    lists = pl.read_parquet(history_world / "sequences.parquet")
    of_each = pl.when(pl.element() % 2 == 1).then(5.0).otherwise(1.0).cast(pl.Float32)
    lists = lists.with_columns(pl.col("train").list.eval(of_each).alias(EVENT_WEIGHT))
    lists.write_parquet(tmp_path / "sequences.parquet")
    return Processed(tmp_path)


@pytest.mark.parametrize("encoder", ["mean", "gru"])
def test_histories(weighted: Processed, encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = MODELS.get("history")(encoder=encoder, embedding_dim=8, layers=1, history_length=6)
    model: Any = build_model(weighted, config)
    batch = HistoryBatches(weighted, config, length=6, batch_size=16).first()
    assert batch[f"{EVENT_WEIGHT}__values"].shape == batch[f"{HISTORY}__values"].shape
    seen: list[Targets] = []
    monkeypatch.setattr(model.loss, "loss", lambda told: seen.append(told) or tf.constant(0.0))
    model.loss(batch)
    odd = (seen[0].items.numpy() + 3) % 2 == 1
    assert 0 < odd.sum() < len(odd)
    np.testing.assert_array_equal(seen[0].importance, np.where(odd, 5.0, 1.0))


@pytest.mark.parametrize(("kind", "options"), [("two_tower", {"tower": [8]}), ("ncf", {})])
def test_batches_of_interactions(weighted: Processed, kind: str, options: Any) -> None:
    config = MODELS.get(kind)(**options)
    model: Any = build_model(weighted, config)
    batches: Any = config.batches(weighted, batch_size=64, seed=0)
    batch = next(batches.epoch(0))
    assert set(batch[EVENT_WEIGHT].numpy().tolist()) == {1.0, 5.0}
    alike = float(model.loss({n: v for n, v in batch.items() if n != EVENT_WEIGHT}))
    if kind == "two_tower":
        same = batch | {EVENT_WEIGHT: tf.ones_like(batch[EVENT_WEIGHT]) * 3}
        assert float(model.loss(same)) == pytest.approx(alike, rel=1e-5)
        assert float(model.loss(batch)) != pytest.approx(alike, rel=1e-5)
    assert np.isfinite(float(model.loss(batch)))
