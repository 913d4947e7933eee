"""Training: what stops it, what is kept, what is written, and what it refuses."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import tensorflow as tf
from merlin.schema import Tags
from worlds import fit_interactions, weights_of, write_processed

from towermill.columns import ITEM_ID, USER_ID
from towermill.errors import DataError, RecipeError
from towermill.models.build import build_model, load_model
from towermill.models.configs.train import ScheduleConfig, TrainConfig
from towermill.models.configs.two_tower import TwoTowerConfig
from towermill.models.contracts.retriever import Retriever
from towermill.models.data.interactions import Processed
from towermill.models.training.checkpoints import Checkpoints
from towermill.models.training.train import train_model

MODEL = TwoTowerConfig(tower=(), embedding_dim=8)
BASE: dict[str, Any] = {"batch_size": 256, "learning_rate": 0.01, "tensorboard": False}


@pytest.fixture
def data(id_world: Path) -> Processed:
    return Processed(id_world)


def judge(values: list[float], seen: list[Any]) -> Callable[[Retriever], dict[str, float]]:
    """Return a validation that gives these values in turn and notes the weights it was shown."""

    def validate(retriever: Retriever) -> dict[str, float]:
        seen.append(weights_of(retriever))
        return {"ndcg@10": values[len(seen) - 1]}

    return validate


class TestStopping:
    def run(self, data: Processed, folder: Path, values: list[float], **options: Any) -> Any:
        seen: list[Any] = []
        retriever = build_model(data, MODEL)
        config = TrainConfig(**{**BASE, "epochs": len(values), **options})
        state = fit_interactions(retriever, data, config, folder, validate=judge(values, seen))
        return state, seen, weights_of(retriever)

    def test_stops_by_patience_and_restores_the_best(self, data: Processed, tmp_path: Path) -> None:
        state, seen, left = self.run(data, tmp_path, [0.1, 0.3, 0.3, 0.2, 0.9], patience=2)
        assert (state.epoch, state.best, state.best_epoch) == (4, 0.3, 2)
        assert [record["epoch"] for record in state.history] == [1, 2, 3, 4]
        for found, best, last in zip(left, seen[1], seen[3], strict=True):
            np.testing.assert_array_equal(found, best)
            assert np.abs(found - last).max() > 0

    def test_patience_0_never_stops(self, data: Processed, tmp_path: Path) -> None:
        state, seen, left = self.run(data, tmp_path, [0.5, 0.1, 0.1, 0.1], patience=0)
        assert (state.epoch, state.best_epoch) == (4, 1)
        np.testing.assert_array_equal(left[0], seen[0][0])
        assert [path.name for path in (tmp_path / "best").iterdir()] == ["1"]

    def test_evaluate_every_so_many_and_the_last(self, data: Processed, tmp_path: Path) -> None:
        state, seen, _ = self.run(data, tmp_path, [0.1, 0.2, 0, 0, 0], evaluate_every=2)
        validated = [record["epoch"] for record in state.history if "metrics" in record]
        assert validated == [2, 4, 5]
        assert (len(seen), state.best_epoch) == (3, 4)

    def test_called_again_when_done_changes_nothing(self, data: Processed, tmp_path: Path) -> None:
        state, _, left = self.run(data, tmp_path, [0.3, 0.2])
        again, seen, weights = self.run(data, tmp_path, [0.3, 0.2])
        assert again == state
        assert seen == []
        np.testing.assert_array_equal(weights[0], left[0])


class TestPlateau:
    VALUES = (0.5, 0.1, 0.5, 0.4, 0.3, 0.2, 0.6, 0.1)
    #: Worse, or no better, at 2 and 3, at 4 and 5; a new best at 7, with two more to wait.
    RATES = (1, 1, 1, 0.1, 0.1, 0.01, 0.01, 0.01)

    def config(self, **options: Any) -> TrainConfig:
        schedule = ScheduleConfig(**{"kind": "plateau", "factor": 0.1, "patience": 2, **options})
        return TrainConfig(**{**BASE, "batch_size": 1200}, epochs=8, patience=0, schedule=schedule)

    def run(
        self, data: Processed, folder: Path, values: Sequence[float], **options: Any
    ) -> tuple[list[float], list[Any]]:
        seen: list[Any] = []
        retriever, config = build_model(data, MODEL), self.config(**options)
        validate = judge(list(values), seen)
        state = fit_interactions(retriever, data, config, folder, validate=validate)
        return [record["learning_rate"] / 0.01 for record in state.history], seen

    def test_falls_after_so_many_no_better(self, data: Processed, tmp_path: Path) -> None:
        rates, _ = self.run(data, tmp_path, self.VALUES)
        assert rates == pytest.approx(self.RATES)

    def test_steps_are_taken_at_the_lower_rate(self, data: Processed, tmp_path: Path) -> None:
        _, seen = self.run(data, tmp_path, [0.5] * 8, factor=1e-5, patience=1)
        moved = [np.abs(b[0] - a[0]).max() for a, b in itertools.pairwise(seen)]
        assert moved[0] > 1e-3
        assert moved[1] < 1e-6

    @pytest.mark.parametrize("cut", [3, 4, 6])
    def test_resumed_at_the_same_rate(
        self, cut: int, data: Processed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        save = Checkpoints.save

        def save_and_end(checkpoints: Checkpoints, state: Any) -> None:
            save(checkpoints, state)
            if state.epoch == cut:
                raise InterruptedError

        with monkeypatch.context() as patch:
            patch.setattr(Checkpoints, "save", save_and_end)
            with pytest.raises(InterruptedError):
                self.run(data, tmp_path, self.VALUES)
        rates, seen = self.run(data, tmp_path, self.VALUES[cut:])
        assert rates == pytest.approx(self.RATES)
        assert len(seen) == 8 - cut

    def test_waits_in_validations_not_epochs(self, data: Processed, tmp_path: Path) -> None:
        retriever, config = build_model(data, MODEL), self.config()
        config = config.model_copy(update={"evaluate_every": 2})
        validate = judge([0.5, 0.4, 0.3, 0.2], [])
        state = fit_interactions(retriever, data, config, tmp_path, validate=validate)
        rates = [record["learning_rate"] / 0.01 for record in state.history]
        assert rates == pytest.approx([1] * 6 + [0.1] * 2)


class TestTrainModel:
    @pytest.fixture(scope="class")
    @classmethod
    def out(cls, id_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
        out = tmp_path_factory.mktemp("trained")
        config = TrainConfig(batch_size=1000, epochs=2, monitor="recall@5", learning_rate=0.02)
        train_model(id_world, MODEL, config, out, 0)
        return out

    def test_history(self, out: Path) -> None:
        state = json.loads((out / "history.json").read_text())
        assert state["best_epoch"] in (1, 2)
        assert (state["epoch"], state["step"]) == (2, 0)
        for number, record in enumerate(state["history"], start=1):
            assert record.keys() == {
                "epoch", "loss", "learning_rate", "seconds", "rows_per_second", "metrics",
            }  # fmt: skip
            assert record["epoch"] == number
            assert record["learning_rate"] == pytest.approx(0.02)
            assert record["rows_per_second"] > 0
            assert "recall@5" in record["metrics"]
        # In-batch softmax of untrained embeddings, corrected: about log(1 + batch).
        assert state["history"][0]["loss"] == pytest.approx(np.log(1000), abs=1.5)

    def test_tensorboard(self, out: Path) -> None:
        files = list((out / "tensorboard").glob("events.out.tfevents.*"))
        assert len(files) == 1
        steps: dict[str, list[int]] = {}
        for event in tf.compat.v1.train.summary_iterator(str(files[0])):
            for value in event.summary.value:
                steps.setdefault(value.tag, []).append(event.step)
        assert steps["loss"] == steps["learning_rate"] == steps["validation/recall@5"] == [1, 2]

    @pytest.mark.parametrize(
        "monitor", ["recall@3", "precision@3", "hit_rate@3", "ndcg@3", "mrr@3", "map@3"]
    )
    def test_every_monitor(self, monitor: str, id_world: Path, tmp_path: Path) -> None:
        config = TrainConfig(**{**BASE, "batch_size": 2400}, epochs=1, monitor=monitor)
        train_model(id_world, MODEL, config, tmp_path, 0)
        state = json.loads((tmp_path / "history.json").read_text())
        assert state["best"] == state["history"][0]["metrics"][monitor]

    @pytest.mark.parametrize("validation", ["none", "empty", "nothing new"])
    def test_without_validation_all_epochs_are_trained(
        self, validation: str, data: Processed, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        train = data.scan("train").collect().head(500)
        rows = {"none": None, "empty": train.head(0), "nothing new": train.head(5)}[validation]
        splits = {"train": train} if rows is None else {"train": train, "validation": rows}
        sides = {USER_ID: Tags.USER, ITEM_ID: Tags.ITEM}
        path = write_processed(tmp_path / "p", splits, data.items, sides)
        out, config = tmp_path / "out", TrainConfig(**BASE, epochs=3, patience=1)
        with caplog.at_level(logging.WARNING, "towermill"):
            train_model(path, MODEL, config, out, 0)
        state = json.loads((out / "history.json").read_text())
        assert (state["epoch"], state["best"]) == (3, None)
        assert all("metrics" not in record for record in state["history"])
        assert ("validation" in caplog.text) == (validation == "nothing new")

    def test_same_seed_same_weights(self, id_world: Path, tmp_path: Path) -> None:
        config = TrainConfig(**{**BASE, "batch_size": 600}, epochs=1)
        found = []
        for name, seed in (("a", 1), ("b", 1), ("c", 2)):
            np.random.seed(len(found))
            train_model(id_world, MODEL, config, tmp_path / name, seed)
            found.append(weights_of(load_model(id_world, tmp_path / name, MODEL)[1]))
        np.testing.assert_array_equal(found[0][0], found[1][0])
        assert np.abs(found[0][0] - found[2][0]).max() > 0


class TestSteps:
    def test_checkpoint_steps(
        self, data: Processed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        saved: list[tuple[int, int]] = []
        monkeypatch.setattr(
            Checkpoints, "save", lambda self, state: saved.append((state.epoch, state.step))
        )
        config = TrainConfig(**BASE, epochs=2, checkpoint_steps=4)
        fit_interactions(build_model(data, MODEL), data, config, tmp_path)
        assert saved == [(0, 4), (0, 8), (1, 0), (1, 4), (1, 8), (2, 0)]

    def test_damaged_checkpoint(self, data: Processed, tmp_path: Path) -> None:
        config = TrainConfig(**BASE, epochs=1)
        fit_interactions(build_model(data, MODEL), data, config, tmp_path)
        state = next((tmp_path / "checkpoints").glob("*/state.json"))
        state.write_text(state.read_text()[:30])
        with pytest.raises(DataError, match="to train from the beginning"):
            fit_interactions(build_model(data, MODEL), data, config, tmp_path)

    def test_loss_is_no_number(self, data: Processed, tmp_path: Path) -> None:
        config = TrainConfig(**{**BASE, "learning_rate": 1e30}, optimizer="sgd", epochs=3)
        with pytest.raises(DataError, match=r"loss is (nan|inf).*Lower `train.learning_rate`"):
            fit_interactions(build_model(data, MODEL), data, config, tmp_path)

    def test_infinite_features(self, feature_world: Path, tmp_path: Path) -> None:
        source = Processed(feature_world)
        train = source.scan("train").collect().with_columns(side=pl.lit(np.inf, pl.Float32))
        sides = {USER_ID: Tags.USER, "side": Tags.USER, ITEM_ID: Tags.ITEM}
        path = write_processed(tmp_path / "p", {"train": train}, source.items, sides)
        with pytest.raises(DataError, match="infinities in the numeric features"):
            train_model(path, MODEL, TrainConfig(**BASE, epochs=1), tmp_path / "out", 0)


class TestCompilation:
    # XLA's random numbers are others than TensorFlow's.
    @pytest.mark.parametrize(("negatives", "tolerance"), [("in_batch", 1e-5), ("mixed", 5e-3)])
    def test_xla_equals_no_xla(
        self, negatives: Any, tolerance: float, id_world: Path, tmp_path: Path
    ) -> None:
        losses = []
        for xla in (False, True):
            tf.keras.utils.set_random_seed(0)  # dense layers
            model, data = TwoTowerConfig(tower=(8,), negatives=negatives), Processed(id_world)
            config = TrainConfig(**{**BASE, "batch_size": 1000}, epochs=2, xla=xla)
            state = fit_interactions(build_model(data, model), data, config, tmp_path / str(xla))
            losses.append([record["loss"] for record in state.history])
        np.testing.assert_allclose(losses[1], losses[0], rtol=tolerance)

    def test_xla_refuses_lists_before_any_work(self, feature_world: Path, tmp_path: Path) -> None:
        with pytest.raises(RecipeError, match=r"`train\.xla` should be false"):
            train_model(feature_world, MODEL, TrainConfig(**BASE, xla=True), tmp_path, 0)

    @pytest.mark.parametrize("precision", ["bfloat16", "float16"])
    @pytest.mark.parametrize("optimizer", ["adam", "lazy_adam"])
    def test_mixed_precision_ends_in_float32(
        self, precision: Any, optimizer: Any, feature_world: Path, tmp_path: Path
    ) -> None:
        model = TwoTowerConfig(tower=(16, 8), embedding_dim=8, negatives="mixed", num_negatives=20)
        config = TrainConfig(**BASE, epochs=3, mixed_precision=precision, optimizer=optimizer)
        train_model(feature_world, model, config, tmp_path, 0)
        assert tf.keras.mixed_precision.global_policy().name == "float32"
        data, retriever = load_model(feature_world, tmp_path, model)
        assert {weight.dtype for weight in weights_of(retriever)} == {np.dtype(np.float32)}
        assert retriever.embed_items(data.items).dtype == np.float32
        losses = [r["loss"] for r in json.loads((tmp_path / "history.json").read_text())["history"]]
        assert losses[2] < losses[0]


class TestAfterEpoch:
    def run(self, data: Processed, folder: Path, hook: Any, **options: Any) -> Any:
        config = TrainConfig(**{**BASE, "batch_size": 1200}, **{"epochs": 4, **options})
        retriever, validate = build_model(data, MODEL), judge([0.1, 0.2, 0.3, 0.4], [])
        return fit_interactions(
            retriever, data, config, folder, validate=validate, after_epoch=hook
        )

    def test_is_told_each_validated_epoch(self, data: Processed, tmp_path: Path) -> None:
        told: list[Any] = []
        self.run(data, tmp_path, lambda *said: told.append(said), evaluate_every=3)
        assert told == [(3, {"ndcg@10": 0.1}), (4, {"ndcg@10": 0.2})]

    def test_what_it_raises_ends_the_training(self, data: Processed, tmp_path: Path) -> None:
        def enough(epoch: int, metrics: dict[str, float]) -> None:
            if epoch == 2:
                raise InterruptedError

        with pytest.raises(InterruptedError):
            self.run(data, tmp_path, enough)
        assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["00002-00000000"]
        state = self.run(
            data, tmp_path, enough
        )  # it goes on after the epoch, which is not told again
        assert state.epoch == 4
