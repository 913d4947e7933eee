"""What every model has to hold: its test class inherits `ModelContract`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
from worlds import evaluate_baselines, gain, weights_of

from towermill.columns import ITEM_ID
from towermill.models.build import load_model
from towermill.models.configs.base import ModelConfig
from towermill.models.configs.train import ScheduleConfig, TrainConfig
from towermill.models.contracts.retriever import Retriever
from towermill.models.data.impressions import ImpressionData
from towermill.models.data.interactions import Processed
from towermill.models.evaluation.catalogue import evaluate_catalogue
from towermill.models.evaluation.impressions import report_impressions
from towermill.models.evaluation.targets import evaluate_targets
from towermill.models.metrics.clicks import auroc
from towermill.models.training import train as train_module
from towermill.models.training.checkpoints import Checkpoints, TrainState
from towermill.models.training.train import Model, train_model

#: Ten steps an epoch; a checkpoint in the middle of each.
CUT_OFF = TrainConfig(
    epochs=3,
    batch_size=256,
    learning_rate=0.01,
    schedule=ScheduleConfig(kind="cosine", warmup_steps=5),
    checkpoint_steps=4,
    patience=0,
    tensorboard=False,
)

SLOWLY = """
import json, sys, time
from pathlib import Path
from towermill.runtime.device import resolve
resolve("cpu")
from towermill.models.configs import MODELS
from towermill.models.training.checkpoints import Checkpoints
from towermill.models.configs.train import TrainConfig
from towermill.models.training.train import train_model

save = Checkpoints.save
def save_and_wait(self, state):
    save(self, state)
    time.sleep(0.5)
Checkpoints.save = save_and_wait
processed, model, train, out = sys.argv[1:]
train_model(
    Path(processed),
    MODELS.get(json.loads(model)["kind"]).model_validate_json(model),
    TrainConfig.model_validate_json(train),
    Path(out),
    3,
)
"""


class CutError(Exception):
    """Stands for whatever ends a training before its time."""


def history_of(folder: Path) -> list[dict[str, Any]]:
    """Return the records of a finished training, without what the clock decides."""
    records = json.loads((folder / "history.json").read_text())["history"]
    return [
        {k: v for k, v in record.items() if k not in ("seconds", "rows_per_second")}
        for record in records
    ]


def judged(data: Processed, model: Model) -> tuple[float, float]:
    """Return the test metric of the model, 1 at best, and the best of the baselines'."""
    if isinstance(data, ImpressionData):
        report = report_impressions(model, data, data.slates("test"), (10,), seed=0)
        return report["metrics"]["auc"], max(m["auc"] for m in report["baselines"].values())
    if getattr(model, "targets", ()):
        return judged_by_clicks(data, model)
    queries = data.queries("test")
    baselines = evaluate_baselines(data, queries, (10,), seed=0)
    found = evaluate_catalogue(model, data, queries, (10,))
    return found["recall@10"], max(m["recall@10"] for m in baselines.values())


def judged_by_clicks(data: Processed, model: Any) -> tuple[float, float]:
    """Return the gain of the crossed world's clicks, and that of the items' popularity."""
    found = evaluate_targets(model, data, "test")["click"]["auc"]
    test = data.scan("test").collect()
    popular = auroc(data.id_counts[test[ITEM_ID]], test["click"].to_numpy())
    return gain(data.path, found), gain(data.path, popular)


def queries_of(data: Processed) -> pl.DataFrame:
    """Return what the model is asked on the test split."""
    if isinstance(data, ImpressionData):
        slates = data.slates("test")
        return data.query_frame(slates.users, slates.histories)
    return data.queries("test").features


def outputs_of(model: Model, queries: pl.DataFrame, items: pl.DataFrame) -> list[np.ndarray]:
    """Return all that is served: an array of a row a query, and of a retriever one of items."""
    if isinstance(model, Retriever):
        return [model.embed_queries(queries), model.embed_items(items)]
    return [model.scores(queries, items)(0, len(queries))]


class ServedContract:
    """Recover the answer; save and load; what is served depends on its own row alone.

    Attributes
    ----------
    model, train
        Learn the answer of `world`.
    world
        Fixture of a world with a knowable answer.
    beaten
        What no baseline reaches there.
    """

    model: ClassVar[ModelConfig]
    train: ClassVar[TrainConfig]
    world: ClassVar[str] = "id_world"
    beaten: ClassVar[float] = 0.2

    @pytest.fixture(scope="class")
    @classmethod
    def answer(cls, request: pytest.FixtureRequest) -> Path:
        path: Path = request.getfixturevalue(cls.world)
        return path

    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls, answer: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Model]:
        """Where the model was written to, and the live one."""
        out, live = tmp_path_factory.mktemp("fitted"), []

        def spy(*args: Any, **kwargs: Any) -> Model:
            live.append(build(*args, **kwargs))
            return live[0]

        build = train_module.build_model
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(train_module, "build_model", spy)
            train_model(answer, cls.model, cls.train, out, 0)
        return out, live[0]

    @pytest.fixture(scope="class")
    @classmethod
    def loaded(cls, answer: Path, fitted: tuple[Path, Model]) -> tuple[Processed, Model]:
        return load_model(answer, fitted[0], cls.model)

    def test_recovers_the_answer(self, loaded: tuple[Processed, Model]) -> None:
        found, baseline = judged(*loaded)
        assert found > 0.95
        assert baseline < self.beaten

    def test_loaded_is_the_live_one(
        self, loaded: tuple[Processed, Model], fitted: tuple[Path, Model]
    ) -> None:
        data, model = loaded
        queries = queries_of(data)
        found = outputs_of(model, queries, data.items)
        for one, other in zip(found, outputs_of(fitted[1], queries, data.items), strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == np.float32
        width = found[1].shape[1] if isinstance(model, Retriever) else data.items.height
        assert found[0].shape == (len(queries), width)

    def test_rows_do_not_depend_on_one_another(self, loaded: tuple[Processed, Model]) -> None:
        data, model = loaded
        rows, queries = [5, 0, 7], queries_of(data)
        items = data.items[rows] if isinstance(model, Retriever) else data.items
        whole = outputs_of(model, queries, data.items)
        for found, all_rows in zip(outputs_of(model, queries[rows], items), whole, strict=True):
            np.testing.assert_allclose(found, all_rows[rows], rtol=1e-5, atol=1e-6)
        for found in outputs_of(model, queries.head(0), data.items.head(0)):
            assert found.shape[0] == 0

    def test_leaves_only_what_is_wanted(self, fitted: tuple[Path, Model]) -> None:
        found = {path.name for path in fitted[0].iterdir()}
        assert found - {"tensorboard"} == {"weights", "history.json"}


class ModelContract(ServedContract):
    """What is served, and: resume equals not stopping.

    Attributes
    ----------
    resumed
        A model with everything that is random in it, which is cut off on the fixture
        `resumed_world` as `cut_off` says.
    """

    resumed: ClassVar[ModelConfig]
    resumed_world: ClassVar[str] = "feature_world"
    cut_off: ClassVar[TrainConfig] = CUT_OFF

    @pytest.fixture(scope="class")
    @classmethod
    def hard(cls, request: pytest.FixtureRequest) -> Path:
        path: Path = request.getfixturevalue(cls.resumed_world)
        return path

    @pytest.fixture(scope="class")
    @classmethod
    def in_one_go(
        cls, hard: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> tuple[list[np.ndarray], list[dict[str, Any]]]:
        return cls._train(hard, tmp_path_factory.mktemp("in-one-go"))

    @classmethod
    def _train(cls, world: Path, out: Path) -> tuple[list[np.ndarray], list[dict[str, Any]]]:
        train_model(world, cls.resumed, cls.cut_off, out, 3)
        return weights_of(load_model(world, out, cls.resumed)[1]), history_of(out)

    def _assert_same(self, found: Any, expected: Any) -> None:
        assert found[1] == expected[1]
        for one, other in zip(found[0], expected[0], strict=True):
            np.testing.assert_array_equal(one, other)

    @pytest.mark.parametrize(
        "cuts",
        [
            pytest.param([(0, 8), (2, 4)], id="in the middle of epochs"),
            pytest.param([(1, 0), (2, 0)], id="at the end of epochs"),
        ],
    )
    def test_resume_equals_not_stopping(
        self,
        cuts: list[tuple[int, int]],
        hard: Path,
        in_one_go: Any,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        save = Checkpoints.save

        def save_or_cut(checkpoints: Checkpoints, state: TrainState) -> None:
            save(checkpoints, state)
            if (state.epoch, state.step) in cuts:
                cuts.remove((state.epoch, state.step))
                raise CutError

        monkeypatch.setattr(Checkpoints, "save", save_or_cut)
        for _ in list(cuts):
            with pytest.raises(CutError):
                self._train(hard, tmp_path)
        self._assert_same(self._train(hard, tmp_path), in_one_go)


class KilledContract(ModelContract):
    """And: what a kill leaves behind is gone on from. Of a kind of training, one model shows it."""

    def test_resume_after_kill_9(self, hard: Path, in_one_go: Any, tmp_path: Path) -> None:
        arguments = (
            str(hard),
            self.resumed.model_dump_json(),
            self.cut_off.model_dump_json(),
            str(tmp_path),
        )
        with subprocess.Popen(
            [sys.executable, "-c", SLOWLY, *arguments], stderr=subprocess.PIPE
        ) as process:
            deadline = time.monotonic() + 120
            while not list((tmp_path / "checkpoints").glob("00001-0000000[48]")):
                assert process.poll() is None, process.stderr.read()  # type: ignore[union-attr]
                assert time.monotonic() < deadline
                time.sleep(0.02)
            os.kill(process.pid, signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        assert not (tmp_path / "history.json").exists()
        self._assert_same(self._train(hard, tmp_path), in_one_go)
