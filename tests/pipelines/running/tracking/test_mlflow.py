"""Runs in MLflow: what is recorded, and the bundle as MLflow serves it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest

from towermill.errors import SetupError
from towermill.pipelines import Bundle, run
from towermill.pipelines.running.finished.run_files import RunFiles, dotted
from towermill.pipelines.running.tracking.mlflow import MlflowTracker

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/runs.db"


@pytest.fixture(scope="module")
def recorded(trained: Any, address: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The trained run, as MLflow has it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("artifacts"))  # MLflow's own default is below it
        run(trained.recipe, trained.out, track=f"mlflow:{address}")
        mlflow.set_tracking_uri(address)
        (found,) = mlflow.search_runs(experiment_names=["towermill/tiny"], output_format="list")
        yield found
        mlflow.set_tracking_uri(None)


class TestRecord:
    def test_parameters_are_the_recipe(self, trained: Any, recorded: Any) -> None:
        sections = dict(dotted(RunFiles.of(trained.latest).recipe))
        assert recorded.data.params["train.epochs"] == str(sections["train.epochs"])
        assert recorded.data.params["model.kind"] == "two_tower"
        given = {name for name, value in sections.items() if value is not None}
        assert len(recorded.data.params) == len(given)

    def test_metrics_and_baselines(self, trained: Any, recorded: Any) -> None:
        files = RunFiles.of(trained.latest)
        assert recorded.data.metrics["ndcg_at_5"] == files.metrics["metrics"]["ndcg@5"]
        ease = files.metrics["baselines"]["ease"]["ndcg@5"]
        assert recorded.data.metrics["ease/ndcg_at_5"] == ease

    def test_epochs_are_steps(self, trained: Any, recorded: Any) -> None:
        client = mlflow.MlflowClient()
        told = client.get_metric_history(recorded.info.run_id, "train/loss")
        epochs = RunFiles.of(trained.latest).history
        assert [(one.step, one.value) for one in told] == [
            (epoch["epoch"], pytest.approx(epoch["loss"])) for epoch in epochs
        ]

    def test_report_and_recipe_are_artifacts(self, recorded: Any) -> None:
        files = mlflow.MlflowClient().list_artifacts(recorded.info.run_id)
        assert {"report.html", "recipe.yaml"} <= {file.path for file in files}

    def test_once(self, trained: Any, address: str, recorded: Any) -> None:
        place = MlflowTracker(address).track(RunFiles.of(trained.latest))
        assert recorded.info.run_id in place
        assert len(mlflow.search_runs(experiment_names=["towermill/tiny"])) == 1

    def test_one_that_broke_off_is_recorded_again(self, trained: Any, tmp_path: Path) -> None:
        tracker = MlflowTracker(f"sqlite:///{tmp_path}/runs.db")
        files = RunFiles.of(trained.latest)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path)
            patch.setattr(tracker, "_log_model", _full_disk)
            with pytest.raises(OSError, match="No space left"):
                tracker.track(files)
            patch.undo()
            patch.chdir(tmp_path)
            tracker.track(files)
        mlflow.set_tracking_uri(tracker.uri)
        found = mlflow.search_runs(experiment_names=["towermill/tiny"], output_format="list")
        assert sorted(one.info.status for one in found) == ["FAILED", "FINISHED"]


def _full_disk(bundle: Path) -> None:
    raise OSError("No space left on device")


class TestModel:
    @pytest.fixture
    def model(self, recorded: Any, address: str) -> Any:
        mlflow.set_tracking_uri(address)
        (logged,) = mlflow.search_logged_models(
            experiment_ids=[recorded.info.experiment_id], output_format="list"
        )
        return mlflow.pyfunc.load_model(logged.model_uri)

    def test_answers_as_the_bundle(self, trained: Any, model: Any) -> None:
        bundle = Bundle.open(trained.bundle)
        users = bundle.user_column("user_id").to_pylist()[:3]
        found = model.predict(pd.DataFrame({"user_id": users}), params={"k": 4})
        for user, items, known in zip(users, found["items"], found["known"], strict=True):
            right = bundle.recommend(user, k=4).items
            assert [item["item_id"] for item in items] == [item["item_id"] for item in right]
            assert items[0]["score"] == pytest.approx(right[0]["score"])
            assert known

    def test_arguments_that_a_row_leaves_out(self, trained: Any, model: Any) -> None:
        bundle = Bundle.open(trained.bundle)
        user = bundle.user_column("user_id").to_pylist()[0]
        best = bundle.recommend(user, k=2).items
        table = pd.DataFrame({"user_id": [user, user], "exclude": [[best[0]["item_id"]], None]})
        first, second = model.predict(table, params={"k": 1})["items"]
        assert (first[0]["item_id"], second[0]["item_id"]) == tuple(
            item["item_id"] for item in best[::-1]
        )


class TestErrors:
    def test_nobody_listens(self) -> None:
        with pytest.raises(SetupError, match="Expected an MLflow server or database at http"):
            MlflowTracker("http://localhost:1")

    def test_package_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
        with pytest.raises(SetupError, match="towermill install track"):
            MlflowTracker("")

    def test_the_address_of_the_process_is_kept(self, address: str) -> None:
        mlflow.set_tracking_uri("http://elsewhere:5000")
        MlflowTracker(address)
        assert mlflow.get_tracking_uri() == "http://elsewhere:5000"
        assert logging.getLogger("mlflow").level == logging.WARNING
        mlflow.set_tracking_uri(address)
