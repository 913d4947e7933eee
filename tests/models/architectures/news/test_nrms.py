"""NRMS: the contract, each distinct article encoded once, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import tensorflow as tf
from contract import CUT_OFF, KilledContract
from formulas import randomise
from merlin.schema.io.tensorflow_metadata import TensorflowMetadata
from news_worlds import articles, impressions, write_impressions
from pydantic import ValidationError

from towermill.errors import RecipeError, SchemaError
from towermill.models.build import build_model, open_data
from towermill.models.configs.news.nrms import NRMSConfig
from towermill.models.configs.train import ScheduleConfig, TrainConfig
from towermill.models.configs.two_tower import TwoTowerConfig
from towermill.models.data.impressions import ImpressionData
from towermill.models.data.interactions import read_schema
from towermill.models.evaluation.scoring import slate_scorer
from towermill.models.objectives.slate_losses import SLATE_LOSSES
from towermill.models.training.train import train_model

SMALL = NRMSConfig(heads=2, head_dim=4, attention_dim=8, dropout=0.1)
WHOLE = NRMSConfig(
    heads=2,
    head_dim=4,
    attention_dim=4,
    dense=(12, 8),
    dropout=0.2,
    features=("category",),
    age=True,
    reader_ids=True,
    history_dropout=0.2,
    replacement=False,
)
BRIEF = TrainConfig(epochs=1, batch_size=97, learning_rate=0.01, tensorboard=False)


class TestNRMS(KilledContract):
    model = SMALL
    train = TrainConfig(epochs=6, batch_size=32, learning_rate=0.01, patience=0)
    world = "news_world"
    beaten = 0.65
    resumed = WHOLE
    resumed_world = "news_world"
    cut_off = CUT_OFF.model_copy(update={"batch_size": 40})

    @pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
    def test_half_precision_ranks_alike(self, precision: str, fitted: Any, loaded: Any) -> None:
        data, retriever = loaded
        slates = data.slates("test")
        whole = slate_scorer(retriever, data)(slates)
        tf.keras.mixed_precision.set_global_policy(precision)
        try:
            half = build_model(data, self.model)
            half.restore(fitted[0] / "weights")
            found = slate_scorer(half, data)(slates)  # type: ignore[arg-type]
        finally:
            tf.keras.mixed_precision.set_global_policy("float32")
        assert found.dtype == np.float32
        ranks = [np.argsort(np.argsort(scores)) for scores in (whole, found)]
        assert np.corrcoef(*ranks)[0, 1] > 0.99
        assert np.abs(found - whole).max() > 0

    def test_history(self, fitted: Any) -> None:
        state = json.loads((fitted[0] / "history.json").read_text())
        record = state["history"][-1]
        assert record["metrics"].keys() == {
            "auc", "mrr", "ndcg@5", "ndcg@10", "hit_rate@5", "hit_rate@10",
        }  # fmt: skip
        assert state["best"] == max(r["metrics"]["auc"] for r in state["history"])


class TestReaderIds:
    config = SMALL.model_copy(update={"reader_ids": True, "reader_dropout": 0.0, "dropout": 0.0})

    def test_a_stranger_is_the_history_alone(self, data: ImpressionData) -> None:
        model: Any = built(data, **self.config.model_dump(exclude={"kind"}))
        randomise(model.model)
        assert model.query_tower.schema.column_names == ["user_id", "history"]
        own = model.query_tower.long_term.table.embeddings.numpy()
        users, histories = np.array([2, 1, 3, 4]), np.array([5, 5, 5, 5])
        found = model.embed_queries(data.query_frame(users, histories))
        np.testing.assert_array_equal(found[0], found[1])
        np.testing.assert_allclose(found[2] - found[0], own[3], atol=1e-5)
        np.testing.assert_allclose(found[3] - found[0], own[4], atol=1e-5)

    def test_trained_and_served_logits_agree(self, data: ImpressionData) -> None:
        model: Any = built(data, **self.config.model_dump(exclude={"kind"}))
        randomise(model.model)
        slates = data.slates("validation")
        batch = {
            "user_id": slates.users,
            "history_id": slates.histories,
            "candidates": slates.items.reshape(len(slates), -1),
        }
        expected = slate_scorer(model, data)(slates).reshape(len(slates), -1)
        tensors = {name: tf.constant(values) for name, values in batch.items()}
        np.testing.assert_allclose(model.model(tensors), expected, rtol=1e-4, atol=1e-4)


class TestHistoryDropout:
    def test_leaves_articles_out_in_training_only(self, data: ImpressionData) -> None:
        model: Any = built(
            data, heads=2, head_dim=4, dropout=0, user_dropout=0, history_dropout=0.5
        )
        batch = {
            "user_id": tf.constant([3, 3]),
            "history_id": tf.constant([1, 2]),
            "candidates": tf.constant([[3, 4], [5, 6]]),
        }
        served = [model.model(batch, training=False).numpy() for _ in range(2)]
        np.testing.assert_array_equal(*served)
        trained = [model.model(batch, training=True).numpy() for _ in range(6)]
        assert len({values.tobytes() for values in trained}) > 1


@pytest.fixture(scope="module")
def data(news_world: Path) -> ImpressionData:
    return ImpressionData(news_world)


def built(data: ImpressionData, **options: Any) -> Any:
    """A model without dropout whose every weight shows in the result."""
    settings = {"heads": 2, "head_dim": 4, "attention_dim": 4, "dropout": 0.0, "user_dropout": 0.0}
    retriever = build_model(data, NRMSConfig(**{**settings, **options}))
    randomise(retriever.model)
    return retriever


def naive(retriever: Any, data: ImpressionData, batch: Any, *, masked: bool) -> tf.Tensor:
    """Logits by encoding each title of each row wherever it stands, and each reader anew."""
    tower, reader = retriever.item_tower, retriever.model.reader
    read = data.histories[batch["history_id"]]

    def encode(ids: Any) -> tf.Tensor:
        names = tower.encoder.features
        categories = {n: tf.constant(data.categories(n)[ids.ravel()]) for n in names}
        vectors = tower.encoder(tf.constant(data.tokens[ids.ravel()]), categories)
        return tf.reshape(vectors, [*ids.shape, 8])

    mask = read >= 3 if masked else np.ones_like(read, bool)
    users = reader(encode(read), tf.constant(mask))
    shown = encode(batch["candidates"].numpy())
    if tower.ages is not None:
        shown += (
            tf.gather(tower.ages.embeddings, batch["ages"])
            * tf.cast(batch["ages"] > 0, tf.float32)[..., None]
        )
    return tf.reduce_sum(users[:, None] * shown, axis=2)


#: Rows share readers and articles; one has read nothing, one in part what is unknown, and one lacks
#: negatives.
BATCH = {
    "history_id": tf.constant([1, 2, 1, 0, 49], tf.int32),
    "candidates": tf.constant(
        [[3, 4, 5], [4, 3, 3], [70, 3, 0], [6, 0, 0], [4, 5, 2]], tf.int32
    ),
    "ages": tf.constant([[1, 2, 0], [3, 1, 1], [15, 4, 0], [7, 0, 0], [0, 5, 6]], tf.int32),
}  # fmt: skip
OPTIONS: list[Any] = [{}, {"features": ("category",), "age": True}, {"masks": False}]


@pytest.mark.parametrize("options", OPTIONS, ids=["plain", "features and age", "unmasked"])
class TestEachArticleOnce:
    def test_logits_are_those_of_encoding_it_wherever_it_stands(
        self, options: Any, data: ImpressionData, on_device: str
    ) -> None:
        retriever = built(data, **options)
        expected = naive(retriever, data, BATCH, masked=options.get("masks", True))
        found = retriever.model(BATCH)
        assert found.dtype == tf.float32
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("loss", SLATE_LOSSES.names())
    def test_gradients_too(self, options: Any, loss: str, data: ImpressionData) -> None:
        retriever = built(data, loss=loss, **options)
        weights = retriever.model.trainable_variables
        with tf.GradientTape(persistent=True) as tape:
            found = retriever.loss(BATCH)
            logits = naive(retriever, data, BATCH, masked=options.get("masks", True))
            losses = SLATE_LOSSES.get(loss)()(logits, BATCH["candidates"] > 0)
            expected = tf.reduce_mean(losses)
        assert float(found) == pytest.approx(float(expected), rel=1e-5)
        for weight in weights:
            one, other = (tf.convert_to_tensor(tape.gradient(x, weight)) for x in (found, expected))
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)

    def test_served_scores_are_those_of_training(self, options: Any, data: ImpressionData) -> None:
        # What is served looks articles up and encodes each reader apart; padding stays what it was.
        retriever = built(data, **options)
        slates = data.slates("test")
        batch = {
            "history_id": tf.constant(slates.histories),
            "candidates": tf.constant(slates.items.reshape(-1, 5)),
        }
        if "age" in options:
            batch["ages"] = tf.constant(data.ages(slates).reshape(-1, 5))
        scores = slate_scorer(retriever, data)(slates)
        expected = retriever.model(batch).numpy().ravel()
        np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)


class TestGradients:
    def test_reach_every_weight(self, data: ImpressionData) -> None:
        retriever = build_model(data, WHOLE)
        randomise(retriever.model)
        batch = next(WHOLE.batches(data, batch_size=97, seed=0).epoch(0))
        weights = retriever.model.trainable_variables
        with tf.GradientTape() as tape:
            loss = retriever.loss(batch)
        for weight, gradient in zip(weights, tape.gradient(loss, weights), strict=True):
            assert gradient is not None, weight.name
            values = tf.convert_to_tensor(gradient).numpy()
            assert np.isfinite(values).all(), weight.name
            assert np.abs(values).max() > 0, weight.name
        # Words, 2 attentions, 2 poolings of 3, 2 dense layers of 4, a category, ages, readers.
        assert len(weights) == 1 + 2 + 6 + 8 + 1 + 1 + 1
        of_towers = [
            weight.ref()
            for tower in (retriever.query_tower, retriever.item_tower)
            for weight in tower.trainable_variables
        ]
        assert {weight.ref() for weight in weights} == set(of_towers)

    def test_a_batch_without_any_word(self, tmp_path: Path) -> None:
        rows = impressions([(3, 0, 0, [3, 4], [3]), (3, 1, 0, [3, 4], [4])])
        path = write_impressions(tmp_path / "p", {"train": rows}, articles([[], []]), [[3]])
        train_model(path, SMALL.model_copy(update={"dense": (8,)}), BRIEF, tmp_path / "out", 0)
        loss = json.loads((tmp_path / "out" / "history.json").read_text())["history"][0]["loss"]
        assert loss == pytest.approx(np.log(5), abs=1e-5)  # all five candidates are alike


class TestWeights:
    def test_words_start_as_they_are_given(self, data: ImpressionData, tmp_path: Path) -> None:
        rows = impressions([(3, 1, 0, [3, 4], [3])])
        path = write_impressions(tmp_path, {"train": rows}, articles([[3], [4]]), [[3]])
        drawn = [
            build_model(ImpressionData(path), SMALL, seed=seed).item_tower.encoder.words
            for seed in (1, 1, 2)
        ]
        tables = [words.embeddings.numpy() for words in drawn]
        assert tables[0].shape == (30, 8)
        np.testing.assert_array_equal(tables[0], tables[1])
        assert np.abs(tables[0] - tables[2]).max() > 0.01
        given = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
        (path / "text").mkdir()
        np.save(path / "text" / "words.npy", given)
        words = build_model(ImpressionData(path), SMALL).item_tower.encoder.words
        np.testing.assert_array_equal(words.embeddings, given)

    def test_logits_are_whole_in_half_precision(self, data: ImpressionData) -> None:
        # As they are served: of bfloat16's 8 bits alike candidates would have equal logits.
        tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
        try:
            logits = built(data).model(BATCH)
        finally:
            tf.keras.mixed_precision.set_global_policy("float32")
        assert logits.dtype == tf.float32
        assert (tf.cast(tf.cast(logits, tf.bfloat16), tf.float32) != logits).numpy().any()

    @pytest.mark.parametrize("precision", ["bfloat16", "float16"])
    def test_mixed_precision_trains_and_ends_in_float32(
        self, precision: Any, data: ImpressionData, tmp_path: Path
    ) -> None:
        train = BRIEF.model_copy(update={"mixed_precision": precision, "epochs": 3})
        train_model(data.path, WHOLE, train, tmp_path, 0)
        losses = [r["loss"] for r in json.loads((tmp_path / "history.json").read_text())["history"]]
        assert losses[2] < losses[0]
        assert tf.keras.mixed_precision.global_policy().name == "float32"


class TestRefusals:
    def refused(self, path: Path, out: Path, match: str, **options: Any) -> None:
        model = SMALL.model_copy(update=options.pop("model", {}))
        train = BRIEF.model_copy(update=options)
        with pytest.raises((RecipeError, SchemaError), match=match):
            train_model(path, model, train, out / "out", 0)

    def test_xla(self, news_world: Path, tmp_path: Path) -> None:
        self.refused(news_world, tmp_path, r"`train\.xla` should be false", xla=True)

    @pytest.mark.parametrize("monitor", ["recall@10", "mrr@10", "precision@5", "map@10"])
    def test_monitor_of_the_catalogue(self, monitor: str, news_world: Path, tmp_path: Path) -> None:
        self.refused(news_world, tmp_path, r"validated by: auc, mrr, ndcg@k", monitor=monitor)

    @pytest.mark.parametrize("monitor", ["auc", "mrr"])
    def test_monitor_of_impressions(self, monitor: str, id_world: Path, tmp_path: Path) -> None:
        train = BRIEF.model_copy(update={"monitor": monitor})
        with pytest.raises(RecipeError, match="of what interactions are validated by"):
            train_model(id_world, TwoTowerConfig(), train, tmp_path, 0)

    @pytest.mark.parametrize("name", ["nothing", "tokens", "age", "item_id"])
    def test_features_that_are_no_categories(
        self, name: str, news_world: Path, tmp_path: Path
    ) -> None:
        match = rf"categories of the articles: category\. Received: '{name}'"
        self.refused(news_world, tmp_path, match, model={"features": (name,)})

    @pytest.mark.parametrize("published", [None, [None] * 3])
    def test_age_without_moments(self, published: Any, tmp_path: Path) -> None:
        rows = impressions([(3, 1, 0, [3, 4], [3])])
        items = articles([[3]] * 3, published=published)
        path = write_impressions(tmp_path, {"train": rows}, items, [[3]])
        self.refused(path, tmp_path, r"Set `model\.age: false`", model={"age": True})

    def test_no_text(self, id_world: Path, tmp_path: Path) -> None:
        path = write_impressions(
            tmp_path / "w",
            {"train": impressions([(3, 1, 0, [3, 4], [3])])},
            articles([[3]] * 2),
            [[3]],
        )
        table = pl.read_parquet(path / "items.parquet").drop("tokens")
        table.write_parquet(path / "items.parquet")
        schema = read_schema(path).excluding_by_name(["tokens"])
        TensorflowMetadata.from_merlin_schema(schema).to_proto_text_file(str(path))
        self.refused(path, tmp_path, "needs the list 'tokens'")

    def test_widths_of_dense(self) -> None:
        with pytest.raises(ValidationError, match="`dense` should end in `heads` × `head_dim`, 8"):
            NRMSConfig(heads=2, head_dim=4, dense=(8, 12))
        assert NRMSConfig(heads=2, head_dim=4, dense=(12, 8)).dim == 8

    @pytest.mark.parametrize("setting", ["factor", "patience"])
    @pytest.mark.parametrize("value", [0, -1])
    def test_plateau_settings(self, setting: str, value: int) -> None:
        with pytest.raises(ValidationError, match=setting):
            ScheduleConfig(**{"kind": "plateau", setting: value})

    def test_data_of_the_kind(self, news_world: Path, id_world: Path) -> None:
        assert isinstance(open_data(news_world), ImpressionData)
        assert not isinstance(open_data(id_world), ImpressionData)
