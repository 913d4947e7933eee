"""Merlin Models on this stack: two towers and matrix factorization, fitted, saved and loaded."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from towermill.runtime import device as runtime

runtime.quiet_tensorflow()

import merlin.io  # noqa: E402
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
    return encoder.encode(dataset, index=index, batch_size=16).to_ddf().compute().sort_index()


class TestRetrieval:
    def test_keras_is_keras_2(self):
        assert tf.keras.layers.Layer.__module__.startswith("tf_keras")
        assert issubclass(mm.RetrievalModelV2, tf.keras.Model)

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

    def test_batch_predict_adds_to_its_input(self, model):
        encoder = model.query_encoder
        found = encoder.batch_predict(
            users(model), batch_size=16, output_concat_func=np.concatenate
        )
        found = found.to_ddf().compute().sort_values("user_id")
        assert found["user_id"].tolist() == list(range(USERS))
        vectors = found[[str(i) for i in range(8)]].to_numpy()
        wanted = embeddings(encoder, users(model), "user_id").to_numpy()
        np.testing.assert_allclose(vectors, wanted, rtol=1e-5, atol=1e-6)

    def test_two_encoders_are_not_taken_for_the_same(self, model):
        frames = [
            model.query_encoder.encode(
                users(model), index=SCHEMA.select_by_name("user_id"), batch_size=16
            ).to_ddf()
            for _ in range(2)
        ]
        assert frames[0]._name != frames[1]._name

    def test_top_k_encoder(self, model):
        top = model.to_top_k_encoder(items(model), k=5, batch_size=16)
        queries = embeddings(model.query_encoder, users(model), "user_id")
        candidates = embeddings(model.candidate_encoder, items(model), "item_id")
        scores = queries.to_numpy() @ candidates.to_numpy().T
        found = top(next(iter(mm.Loader(users(model), batch_size=USERS, shuffle=False)))[0])
        expected = -np.sort(-scores, axis=1)[:, :5]
        np.testing.assert_allclose(found.scores, expected, rtol=1e-4, atol=1e-5)
        by_id = np.take_along_axis(scores, found.identifiers.numpy(), axis=1)
        np.testing.assert_allclose(by_id, expected, rtol=1e-4, atol=1e-5)
        predicted = top.batch_predict(users(model), batch_size=16).to_ddf().compute()
        assert len(predicted) == USERS
        ranked = predicted[[c for c in predicted.columns if "score" in c]].to_numpy()
        np.testing.assert_allclose(ranked, expected, rtol=1e-4, atol=1e-5)


def test_that_no_sampler_returned_anything_is_not_said(data, caplog):
    model = two_tower()
    model.compile(optimizer="adam")
    model.fit(mm.Loader(data, batch_size=64), epochs=1, steps_per_epoch=2, verbose=0)
    assert "returned no samples" not in caplog.text
    logging.getLogger("merlin_models").warning("something else")
    assert "something else" in caplog.text
