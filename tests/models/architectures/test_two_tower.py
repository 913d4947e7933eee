"""The two-tower retriever: the contract, its settings one by one, and data that is hard on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import tensorflow as tf
from contract import KilledContract, ServedContract
from merlin.models.tf.outputs.base import DotProduct
from merlin.models.tf.outputs.sampling.base import Candidate
from merlin.schema import ColumnSchema, Schema, Tags
from pydantic import ValidationError
from worlds import fit_interactions, weights_of, write_processed

from towermill.columns import ITEM_ID, USER_ID
from towermill.errors import DataError, SchemaError
from towermill.models.architectures.two_tower import ACCIDENTAL_HIT, SampledOutput
from towermill.models.build import build_model, load_model
from towermill.models.configs.train import TrainConfig
from towermill.models.configs.two_tower import TwoTowerConfig
from towermill.models.data.interactions import Processed
from towermill.models.evaluation.catalogue import evaluate_catalogue
from towermill.models.training.train import train_model

BRIEF = TrainConfig(epochs=1, batch_size=256, learning_rate=0.01, tensorboard=False)
SMALL = TwoTowerConfig(tower=(8,), embedding_dim=8)


class TestContract(KilledContract):
    model = TwoTowerConfig(tower=(32, 16), embedding_dim=16)
    train = TrainConfig(epochs=7, batch_size=256, learning_rate=0.01)
    resumed = TwoTowerConfig(
        tower=(16, 8),
        embedding_dim=8,
        dropout=0.2,
        input_dropout=0.1,
        negatives="mixed",
        num_negatives=50,
        l2=1e-4,
    )


class TestOwnNegatives(ServedContract):
    model = TwoTowerConfig(
        tower=(),
        embedding_dim=16,
        loss="bce",
        negatives="uniform",
        num_negatives=5,
        own_negatives=True,
    )
    train = TrainConfig(epochs=25, batch_size=256, learning_rate=0.02, patience=0)

    def test_batch_has_none_that_its_user_met(self, id_world: Path) -> None:
        data = Processed(id_world)
        retriever = build_model(data, self.model)
        met = data.scan("train").collect()
        first, item = met.row(0)[0], met.row(0)[1]
        own = met.filter(pl.col("user_id") == first)["item_id"].to_list()
        rows = 500
        batch = {
            "user_id": tf.fill([rows], np.int32(first)),
            "item_id": tf.fill([rows], np.int32(item)),
        }
        output = retriever.model.model_outputs[0]  # type: ignore[union-attr]
        logits = retriever.model(batch, training=True).outputs.numpy()  # type: ignore[union-attr]
        assert logits.shape == (rows, 6)
        hidden = (logits == ACCIDENTAL_HIT).mean(axis=0)
        assert hidden[0] == 0
        share = len(own) / data.items.height
        assert hidden[1:].mean() == pytest.approx(share, abs=0.02)
        assert output.known is not None
        assert len(np.unique(logits[:, 1:])) > data.items.height * 0.8  # each row draws its own

    def test_in_batch_ones_are_nobodys_own(self) -> None:
        with pytest.raises(ValidationError, match="`negatives` should be uniform or popularity"):
            TwoTowerConfig(own_negatives=True)


class TestFeatures:
    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls, feature_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
        out = tmp_path_factory.mktemp("features")
        config = TwoTowerConfig(tower=(32, 16), embedding_dim=16, input_dropout=0.1)
        train = TrainConfig(epochs=12, batch_size=256, learning_rate=0.01, tensorboard=False)
        train_model(feature_world, config, train, out, 0)
        return load_model(feature_world, out, config)

    def test_strangers_are_known_by_their_features(self, fitted: Any) -> None:
        # A stranger's group has 20 items, of which any may be the answer.
        data, retriever = fitted
        queries = data.queries("test", by="interaction", filter_seen=False)
        metrics = evaluate_catalogue(retriever, data, queries, (10, 20))
        assert metrics["recall@20"] > 0.8
        assert 0.35 < metrics["recall@10"] < 0.65

    def test_towers_see_their_own_side(self, fitted: Any) -> None:
        _, retriever = fitted
        assert retriever.query_tower.schema.column_names == [USER_ID, "likes", "side"]
        assert retriever.item_tower.schema.column_names == [ITEM_ID, "genres", "year"]
        tables = {
            tower: sorted(w.shape[0] for w in tower.weights if "embeddings" in w.name)
            for tower in (retriever.query_tower, retriever.item_tower)
        }
        # 240 users or 120 items, and 10 tokens, with the three ids that stand for no value.
        assert list(tables.values()) == [[10, 243], [10, 123]]

    def test_each_feature_counts(self, fitted: Any) -> None:
        data, retriever = fitted
        items = data.items.head(50)
        whole = retriever.embed_items(items)
        for changed in (
            items.with_columns(year=-pl.col("year")),
            items.with_columns(genres=pl.lit([4], pl.List(pl.Int32))),
            items.with_columns(item_id=pl.lit(2, pl.Int32)),
        ):
            assert np.abs(retriever.embed_items(changed) - whole).max() > 0.05

    def test_order_of_rows_and_inputs_stay(self, fitted: Any) -> None:
        data, retriever = fitted
        before = data.items.clone()
        order = np.random.default_rng(0).permutation(data.items.height)
        np.testing.assert_allclose(
            retriever.embed_items(data.items[order]),
            retriever.embed_items(data.items)[order],
            rtol=1e-4,
            atol=1e-6,
        )
        assert data.items.equals(before)


class TestSettings:
    @pytest.mark.parametrize(
        "settings",
        [
            {"tower": (), "embedding_dim": 8},
            {"tower": (16, 8), "item_tower": (12, 10, 8), "activation": "gelu"},
            {"tower": (8,), "normalize": True, "temperature": 0.1, "negatives": "uniform"},
            {"tower": (8,), "dropout": 0.3, "loss": "bce", "negatives": "popularity"},
            {"tower": (8,), "loss": "bpr", "num_negatives": 500, "negatives": "mixed"},
            {"tower": (), "embedding_dim": 8, "l2": 0.01, "negatives": "uniform"},
        ],
        ids=lambda settings: ",".join(settings),
    )
    def test_loss_falls(
        self, settings: dict[str, Any], feature_world: Path, tmp_path: Path
    ) -> None:
        config = TwoTowerConfig(**settings)
        data = Processed(feature_world)
        retriever = build_model(data, config, batch_size=256)
        state = fit_interactions(retriever, data, BRIEF.model_copy(update={"epochs": 3}), tmp_path)
        losses = [record["loss"] for record in state.history]
        assert losses[2] < losses[0]
        embeddings = retriever.embed_items(data.items)
        assert embeddings.shape == (120, 8)
        assert np.isfinite(embeddings).all()
        if config.normalize:
            np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)

    def test_plain_sum_is_a_sum(self, feature_world: Path) -> None:
        data = Processed(feature_world)
        retriever = build_model(data, TwoTowerConfig(tower=(), embedding_dim=4))
        by_rows = {w.shape[0]: w.numpy() for w in retriever.item_tower.weights}
        row = data.items.row(17, named=True)
        expected = (
            by_rows[123][row[ITEM_ID]]
            + by_rows[10][row["genres"]].mean(axis=0)
            + by_rows[1][0] * row["year"]
        )
        np.testing.assert_allclose(retriever.embed_items(data.items)[17], expected, rtol=1e-5)

    def test_seed_decides_the_first_weights(self, id_world: Path) -> None:
        data = Processed(id_world)
        config = TwoTowerConfig(tower=(), embedding_dim=4)
        one, same, other = (weights_of(build_model(data, config, seed=s)) for s in (1, 1, 2))
        np.testing.assert_array_equal(one[0], same[0])
        assert np.abs(one[0] - other[0]).max() > 0.01
        # Two tables never start alike, whatever their size.
        assert np.abs(one[0][:100] - one[1][:100]).max() > 0.01

    def test_l2_is_added_to_the_loss(self, id_world: Path, tmp_path: Path) -> None:
        data = Processed(id_world)
        first = []
        for l2 in (0.0, 1.0):
            retriever = build_model(data, SMALL.model_copy(update={"l2": l2}))
            first.append(
                fit_interactions(retriever, data, BRIEF, tmp_path / str(l2)).history[0]["loss"]
            )
        assert first[1] > first[0] + 0.01

    def test_dropout_is_for_training_only(self, id_world: Path) -> None:
        data = Processed(id_world)
        config = TwoTowerConfig(tower=(8, 8), embedding_dim=8, dropout=0.5, input_dropout=0.5)
        retriever = build_model(data, config)
        first = retriever.embed_items(data.items)
        np.testing.assert_array_equal(first, retriever.embed_items(data.items))

    def test_no_message_about_retracing(
        self, id_world: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        data = Processed(id_world)
        tf.get_logger().addHandler(caplog.handler)
        try:
            for _ in range(4):
                retriever = build_model(data, SMALL)
                retriever.embed_items(data.items)
                retriever.embed_queries(data.users)
        finally:
            tf.get_logger().removeHandler(caplog.handler)
        assert "retracing" not in caplog.text


def hand_made(folder: Path, train: pl.DataFrame, items: pl.DataFrame) -> Processed:
    sides = {USER_ID: Tags.USER, ITEM_ID: Tags.ITEM, "genres": Tags.ITEM}
    named = {name: tag for name, tag in sides.items() if name in train.columns}
    return Processed(write_processed(folder / "processed", {"train": train}, items, named))


def pairs(users: list[int], items: list[int]) -> pl.DataFrame:
    return pl.DataFrame(
        {USER_ID: users, ITEM_ID: items}, schema={USER_ID: pl.Int32, ITEM_ID: pl.Int32}
    )


def catalogue(size: int) -> pl.DataFrame:
    return pl.DataFrame({ITEM_ID: range(3, size + 3)}, schema={ITEM_ID: pl.Int32})


class TestHardData:
    @pytest.mark.parametrize("negatives", ["in_batch", "uniform", "popularity", "mixed"])
    @pytest.mark.parametrize("loss", ["softmax", "bce", "bpr"])
    def test_batches_of_one_row(self, negatives: Any, loss: Any, tmp_path: Path) -> None:
        # Five rows in batches of 4: the last has one. Item 5 is never met; user 2 is unknown.
        data = hand_made(tmp_path, pairs([3, 3, 4, 2, 4], [3, 4, 3, 4, 6]), catalogue(4))
        config = TwoTowerConfig(
            tower=(4,), embedding_dim=4, negatives=negatives, loss=loss, num_negatives=1
        )
        train = BRIEF.model_copy(update={"batch_size": 4, "epochs": 2})
        retriever = build_model(data, config, batch_size=4)
        state = fit_interactions(retriever, data, train, tmp_path)
        assert [np.isfinite(record["loss"]) for record in state.history] == [True, True]
        assert np.isfinite(retriever.embed_items(data.items)).all()

    def test_batch_and_negatives_larger_than_the_data(self, tmp_path: Path) -> None:
        data = hand_made(tmp_path, pairs([3, 4, 5], [3, 4, 3]), catalogue(2))
        config = SMALL.model_copy(update={"negatives": "mixed", "num_negatives": 64})
        state = fit_interactions(build_model(data, config), data, BRIEF, tmp_path)
        assert np.isfinite(state.history[0]["loss"])

    def test_one_item_leaves_nothing_to_tell_apart(self, tmp_path: Path) -> None:
        data = hand_made(tmp_path, pairs([3, 4, 5], [3, 3, 3]), catalogue(1))
        state = fit_interactions(build_model(data, SMALL), data, BRIEF, tmp_path)
        assert state.history[0]["loss"] == pytest.approx(0, abs=1e-6)

    @pytest.mark.parametrize("negatives", ["in_batch", "mixed", "uniform"])
    def test_unknown_items_do_not_drown_the_rest(self, negatives: Any, tmp_path: Path) -> None:
        # With a frequency threshold, training rows may hold the id 2.
        data = hand_made(tmp_path, pairs([3, 4, 5, 6], [3, 2, 4, 3]), catalogue(2))
        config = SMALL.model_copy(update={"negatives": negatives, "num_negatives": 4})
        state = fit_interactions(build_model(data, config), data, BRIEF, tmp_path)
        assert 0.2 < state.history[0]["loss"] < 4

    @pytest.mark.parametrize("lists", [[[], [], []], [[], [4], []], [None, [3, 4], [4]]])
    def test_empty_and_missing_lists(self, lists: list[Any], tmp_path: Path) -> None:
        dtype = pl.List(pl.Int32)
        items = catalogue(3).with_columns(genres=pl.Series(lists, dtype=dtype))
        train = pairs([3, 3, 4], [3, 4, 5]).join(items, on=ITEM_ID, maintain_order="left")
        data = hand_made(tmp_path, train, items)
        config = SMALL.model_copy(update={"negatives": "mixed", "num_negatives": 2})
        retriever = build_model(data, config)
        state = fit_interactions(
            retriever, data, BRIEF.model_copy(update={"batch_size": 2}), tmp_path
        )
        assert np.isfinite(state.history[0]["loss"])
        assert np.isfinite(retriever.embed_items(data.items)).all()

    def test_no_training_rows(self, tmp_path: Path) -> None:
        data = hand_made(tmp_path, pairs([], []), catalogue(2))
        with pytest.raises(DataError, match="`train` split has none"):
            train_model(data.path, SMALL, BRIEF, tmp_path / "out", 0)

    @pytest.mark.parametrize(("gone", "side"), [(USER_ID, "USER"), (ITEM_ID, "ITEM")])
    def test_no_id(self, gone: str, side: str, tmp_path: Path) -> None:
        train = pairs([3, 4], [3, 4])
        named = {USER_ID: Tags.USER, ITEM_ID: Tags.ITEM}
        del named[gone]
        path = write_processed(tmp_path / "processed", {"train": train}, catalogue(2), named)
        with pytest.raises(SchemaError, match=f"'{gone}' tagged {side}"):
            build_model(Processed(path), SMALL)

    def test_weights_of_another_model(self, id_world: Path, tmp_path: Path) -> None:
        build_model(Processed(id_world), SMALL).save(tmp_path)
        other = build_model(Processed(id_world), TwoTowerConfig(tower=(4,), embedding_dim=8))
        with pytest.raises(DataError, match="another model"):
            other.restore(tmp_path)
        with pytest.raises(DataError, match="missing"):
            other.restore(tmp_path / "nowhere")


class TestBlocks:
    @pytest.mark.parametrize("rows", [1, 5, 8, 11])
    def test_negatives_are_the_others_of_a_block(self, rows: int) -> None:
        rng = np.random.default_rng(rows)
        query, items = (rng.normal(size=(rows, 3)).astype(np.float32) for _ in range(2))
        ids = rng.integers(3, 8, rows)
        shares = rng.uniform(0.1, 1, rows).astype(np.float32)
        output = SampledOutput(
            block=4,
            to_call=DotProduct(),
            negative_samplers=["in-batch"],
            schema=Schema([ColumnSchema(ITEM_ID, tags=[Tags.ITEM_ID])]),
            logq_sampling_correction=True,
        )
        candidate = Candidate(id=tf.constant(ids)[:, None], metadata={})
        candidate = candidate.with_embedding(tf.constant(items)).with_sampling_prob(
            tf.constant(shares)[:, None]
        )
        found = output.outputs(tf.constant(query), candidate, candidate).outputs.numpy()
        size = min(rows, 4)
        assert found.shape == (rows, 1 + size)
        for row in range(rows):
            expected = [query[row] @ items[row] - np.log(shares[row])]
            for other in range(row // size * size, row // size * size + size):
                hit = other >= rows or ids[other] == ids[row]
                score = -1e9 if hit else query[row] @ items[other] - np.log(shares[other])
                expected.append(score)
            np.testing.assert_allclose(found[row], expected, rtol=1e-5, atol=1e-5)
