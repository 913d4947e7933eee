"""Merlin Models on this stack: two towers and matrix factorization, from data to a saved encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from towermill import merlin, runtime

runtime.quiet_tensorflow()

import merlin.io  # noqa: E402, F811  (towermill's is not meant below)
import merlin.models.tf as mm  # noqa: E402
import tensorflow as tf  # noqa: E402
from merlin.schema import ColumnSchema, Schema, Tags  # noqa: E402

pytestmark = pytest.mark.slow

USERS, ITEMS, ROWS = 30, 24, 512


def column(name: str, size: int, *tags: Tags) -> ColumnSchema:
    return ColumnSchema(
        name,
        dtype=np.int64,
        tags=[Tags.CATEGORICAL, *tags],
        properties={"domain": {"min": 0, "max": size - 1, "name": name}},
    )


SCHEMA = Schema(
    [
        column("user_id", USERS, Tags.USER, Tags.USER_ID),
        column("age", 5, Tags.USER),
        column("item_id", ITEMS, Tags.ITEM, Tags.ITEM_ID),
        column("genre", 4, Tags.ITEM),
    ]
)


@pytest.fixture(scope="module")
def data() -> Any:
    """Users like the items of their own parity."""
    rng = np.random.default_rng(0)
    user = rng.integers(0, USERS, ROWS)
    item = 2 * rng.integers(0, ITEMS // 2, ROWS) + user % 2
    frame = pd.DataFrame({"user_id": user, "age": user % 5, "item_id": item, "genre": item % 4})
    return merlin.io.Dataset(frame.astype("int64"), schema=SCHEMA, cpu=True)


def two_tower() -> Any:
    tf.keras.utils.set_random_seed(0)
    query = mm.Encoder(
        SCHEMA.select_by_tag(Tags.USER), mm.MLPBlock([16, 8], no_activation_last_layer=True)
    )
    item = mm.Encoder(
        SCHEMA.select_by_tag(Tags.ITEM), mm.MLPBlock([16, 8], no_activation_last_layer=True)
    )
    return mm.TwoTowerModelV2(query, item)


def matrix_factorization() -> Any:
    tf.keras.utils.set_random_seed(0)
    return mm.MatrixFactorizationModelV2(SCHEMA, dim=8)


def loader(data: Any, shuffle: bool = True) -> Any:
    tower_data = data if shuffle is None else mm.Loader(data, batch_size=64, shuffle=shuffle)
    return tower_data


@pytest.fixture(scope="module", params=[two_tower, matrix_factorization])
def model(request: pytest.FixtureRequest, data: Any) -> Any:
    model = request.param()
    if request.param is matrix_factorization:
        data = of_ids(data)
    model.compile(
        optimizer=tf.keras.optimizers.Adam(0.03),
        metrics=[mm.RecallAt(10), mm.NDCGAt(10)],
        run_eagerly=False,
    )
    model.history_ = model.fit(
        mm.Loader(data, batch_size=64, shuffle=True), epochs=4, verbose=0, train_metrics_steps=0
    )
    model.data_ = data
    return model


def of_ids(data: Any) -> Any:
    schema = SCHEMA.select_by_name(["user_id", "item_id"])
    return merlin.io.Dataset(data.to_ddf()[["user_id", "item_id"]], schema=schema, cpu=True)


def users(model: Any) -> Any:
    names = [n for n in ("user_id", "age") if n in model.data_.schema.column_names]
    frame = model.data_.to_ddf()[names].drop_duplicates().compute().sort_values("user_id")
    return merlin.io.Dataset(frame, schema=SCHEMA.select_by_name(names), cpu=True)


def items(model: Any) -> Any:
    names = [n for n in ("item_id", "genre") if n in model.data_.schema.column_names]
    frame = model.data_.to_ddf()[names].drop_duplicates().compute().sort_values("item_id")
    return merlin.io.Dataset(frame, schema=SCHEMA.select_by_name(names), cpu=True)


def embeddings(encoder: Any, dataset: Any, key: str) -> pd.DataFrame:
    index = SCHEMA.select_by_name(key)
    found = encoder.batch_predict(dataset, batch_size=16, index=index).to_ddf().compute()
    found = found if found.index.name == key else found.set_index(key)
    return found.sort_index()


class TestRetrieval:
    def test_keras_is_keras_2(self):
        assert tf.keras.layers.Layer.__module__.startswith("tf_keras")
        assert issubclass(mm.TwoTowerModelV2, tf.keras.Model)

    def test_fit_learns(self, model):
        losses = model.history_.history["loss"]
        assert len(losses) == 4
        assert losses[-1] < 0.9 * losses[0]

    def test_evaluate(self, model):
        found = model.evaluate(mm.Loader(model.data_, batch_size=64), verbose=0, return_dict=True)
        assert 0 < found["recall_at_10"] <= 1
        assert 0 < found["ndcg_at_10"] <= 1

    def test_save_and_load(self, model, tmp_path: Path, request):
        model.save(str(tmp_path / "model"))
        loaded = mm.Model.load(str(tmp_path / "model"))
        batch, _ = next(iter(mm.Loader(model.data_, batch_size=32, shuffle=False)))
        np.testing.assert_allclose(
            loaded.query_encoder(batch), model.query_encoder(batch), rtol=1e-5, atol=1e-6
        )
        np.testing.assert_allclose(
            loaded.candidate_encoder(batch), model.candidate_encoder(batch), rtol=1e-5, atol=1e-6
        )

    def test_encoders_in_batches_are_the_towers(self, model):
        queries = embeddings(model.query_encoder, users(model), "user_id")
        candidates = embeddings(model.candidate_encoder, items(model), "item_id")
        assert queries.shape == (USERS, 8)
        assert candidates.shape == (ITEMS, 8)
        # Each user's best items are those of the same parity: the knowable answer.
        scores = queries.to_numpy() @ candidates.to_numpy().T
        best = np.argsort(-scores, axis=1)[:, :8]
        assert (best % 2 == np.arange(USERS)[:, None] % 2).mean() > 0.9

    def test_top_k_encoder(self, model, data):
        top = model.to_top_k_encoder(items(model), k=5, batch_size=16)
        queries = embeddings(model.query_encoder, users(model), "user_id")
        candidates = embeddings(model.candidate_encoder, items(model), "item_id")
        scores = queries.to_numpy() @ candidates.to_numpy().T
        found = top.batch_predict(users(model), batch_size=16).to_ddf().compute()
        for row, wanted in zip(found.itertuples(), scores, strict=True):
            ids = [getattr(row, f"_{i}", None) for i in range(1)]  # noqa: F841
        names = [c for c in found.columns if "id" in c and c not in ("user_id",)]
        values = [c for c in found.columns if "score" in c]
        assert len(names) == len(values) == 5
        expected = -np.sort(-scores, axis=1)[:, :5]
        np.testing.assert_allclose(found[values].to_numpy(), expected, rtol=1e-4, atol=1e-5)

    def test_sampler_warning_is_silent(self, model, caplog):
        assert "returned no samples" not in caplog.text
