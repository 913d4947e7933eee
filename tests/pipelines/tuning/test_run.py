"""Tuning: what runs, what is kept of it, and what ends it."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from distributed import LocalCluster
from tuning_world import CONTENT, World, recipe_of

from towermill.errors import DataError, RecipeError, SetupError, StageError
from towermill.pipelines import Recipe, Selection, load_recipe, plan, run, tune, validate_recipe
from towermill.pipelines.running import subprocess as child


def rate(low: float, high: float) -> Callable[[Recipe], bool]:
    return lambda recipe: low <= recipe.train.learning_rate < high


class TestTrials:
    def test_share_all_but_training(self, world: World, tmp_path: Path) -> None:
        tuned = tune(recipe_of(), tmp_path, 6)
        assert world.ran == ["prepare", "process", *["train"] * 6]
        assert [trial["trial"] for trial in tuned.trials] == list(range(6))
        assert tuned.own is not None
        assert tuned.own["trial"] == 0
        assert tuned.own["model.tower"] == [8]
        assert tuned.own["ndcg@10"] == pytest.approx(1 / 5)

    def test_one_is_trained_but_once(self, world: World, tmp_path: Path) -> None:
        recipe = recipe_of()
        run(recipe, tmp_path)
        tune(recipe, tmp_path, 3)
        assert world.ran.count("train") == 3
        tune(recipe, tmp_path, 3)
        assert world.ran.count("train") == 3
        tune(recipe, tmp_path, 4)
        assert world.ran.count("train") == 4
        tune(recipe_of(sampler={"kind": "random"}), tmp_path, 1)
        assert world.ran.count("train") == 4
        assert len(list((tmp_path / "tiny" / "tune").iterdir())) == 2

    def test_learns(self, world: World, tmp_path: Path) -> None:
        spans = {"train.learning_rate": {"low": 1e-4, "high": 0.1, "log": True}}
        tuned = tune(recipe_of(parameters=spans, pruner={"kind": "none"}), tmp_path, 25)
        assert tuned.best is not None
        assert tuned.best["train.learning_rate"] == pytest.approx(0.01, rel=0.3)

    def test_ended_early_leaves_nothing(self, world: World, tmp_path: Path) -> None:
        tuned = tune(recipe_of(), tmp_path, 12)
        states = [trial["state"] for trial in tuned.trials]
        ended = [trial for trial in tuned.trials if trial["state"] == "ended early"]
        assert ended
        assert {trial["epochs"] for trial in ended} == {2}
        folders = list((tmp_path / "tiny" / "train").iterdir())
        assert len(folders) == states.count("done")
        assert all((folder / "manifest.json").is_file() for folder in folders)

    def test_the_metric_is_that_of_validation(self, world: World, tmp_path: Path) -> None:
        tuned = tune(recipe_of(), tmp_path, 2)
        assert tuned.metric == "ndcg@10"
        assert "evaluate" not in world.ran


class TestResults:
    def test_best_is_a_recipe_that_is_trained(self, world: World, tmp_path: Path) -> None:
        tuned = tune(recipe_of(), tmp_path, 5)
        best = load_recipe(str(tuned.folder / "best.yaml"))
        assert tuned.best is not None
        assert best.train.learning_rate == tuned.best["train.learning_rate"]
        assert best.tune is None
        runs = {step.stage.name: step.runs for step in plan(best, tmp_path)}
        assert runs == {
            **{"prepare": False, "process": False, "train": False},
            **{"evaluate": True, "export": True},
        }
        assert "the recipe as it was: 0.2000" in (tuned.folder / "best.yaml").read_text()

    def test_best_may_be_the_recipe_as_it_is(self, world: World, tmp_path: Path) -> None:
        content = {**CONTENT, "train": {"learning_rate": 0.01, "epochs": 3}}
        tuned = tune(validate_recipe(content), tmp_path, 3)
        assert tuned.best == tuned.own
        assert load_recipe(str(tuned.folder / "best.yaml")).train.learning_rate == 0.01

    def test_where_it_ran_is_not_the_best_ones_matter(self, world: World, tmp_path: Path) -> None:
        content = {**CONTENT, "runtime": {"device": "cpu", "seed": 3}}
        tuned = tune(validate_recipe(content), tmp_path, 1)
        assert yaml.safe_load((tuned.folder / "best.yaml").read_text())["runtime"] == {"seed": 3}

    def test_table(self, world: World, tmp_path: Path) -> None:
        tuned = tune(recipe_of(), tmp_path, 4)
        with (tuned.folder / "trials.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [float(row["ndcg@10"]) for row in rows] == [t["ndcg@10"] for t in tuned.trials]
        assert json.loads(rows[0]["model.tower"]) == [8]

    def test_command(self, world: World, cli: Any, tmp_path: Path) -> None:
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump(CONTENT))
        said = cli("tune", path, "--trials", "3", "--out", tmp_path)
        assert said.code == 0, said.err
        assert "as it was" in said.out
        assert "3 trials: 3 done" in said.out
        told = json.loads(cli("tune", path, "--trials", "3", "--out", tmp_path, "--json").out)
        assert [trial["trial"] for trial in told["trials"]] == [0, 1, 2]
        assert told["best"]["ndcg@10"] >= told["own"]["ndcg@10"]


class TestFailures:
    def test_one_that_diverges(self, world: World, tmp_path: Path) -> None:
        world.diverges = rate(0, 0.01)
        tuned = tune(recipe_of(), tmp_path, 6)
        failed = [trial for trial in tuned.trials if trial["state"] == "failed"]
        assert failed
        assert {trial["reason"] for trial in failed} == {"The training loss is nan."}
        assert tuned.best is not None
        assert tuned.best["train.learning_rate"] >= 0.01
        assert not list((tmp_path / "tiny" / "train").glob("*.partial"))

    def test_all(self, world: World, tmp_path: Path) -> None:
        world.diverges = rate(0, 1)
        said = r"All of the first 5 trials failed, the last with: The training loss is nan"
        with pytest.raises(StageError, match=said):
            tune(recipe_of(), tmp_path, 20)
        assert world.ran.count("train") == 5

    def test_values_that_go_together_badly(self, world: World, tmp_path: Path) -> None:
        content = {**CONTENT, "model": {"tower": [8], "item_tower": [8]}}
        spans = {
            "model.tower": {"choices": [[8], [4, 8]]},
            "train.optimizer": {"choices": ["adamw", "adam"]},
            "train.weight_decay": {"choices": [0.0, 0.1]},
        }
        content["train"] = {"optimizer": "adamw", "weight_decay": 0.0}
        content["tune"] = {"parameters": spans}
        tuned = tune(validate_recipe(content), tmp_path, 8)
        failed = [trial for trial in tuned.trials if trial["state"] == "failed"]
        assert len(failed) == 2  # adam with weight decay, of either tower
        assert all("for `optimizer: adamw`" in trial["reason"] for trial in failed)
        assert len(tuned.trials) == 8

    def test_a_fault_ends_it_and_it_goes_on(self, world: World, tmp_path: Path) -> None:
        world.crashes = rate(0, 0.01)
        with pytest.raises(RuntimeError, match="on purpose"):
            tune(recipe_of(), tmp_path, 6)
        (journal,) = (tmp_path / "tiny" / "tune").glob("*/journal.log")
        world.crashes = lambda recipe: False
        assert len(tune(recipe_of(), tmp_path, 6).trials) == 6
        whole = tmp_path / "whole"
        assert [t["train.learning_rate"] for t in tune(recipe_of(), whole, 6).trials] == [
            t["train.learning_rate"] for t in tune(recipe_of(), tmp_path, 6).trials
        ]
        assert journal.is_file()

    def test_nothing_to_compare_by(self, world: World, tmp_path: Path) -> None:
        world.validation = False
        with pytest.raises(DataError, match=r"compared by ndcg@10 on the validation split"):
            tune(recipe_of(), tmp_path, 3)

    @pytest.mark.parametrize("numbers", [(0, 0), (-1, 0), (True, 0), (3, -1), (2.0, 0)])
    def test_numbers(self, world: World, tmp_path: Path, numbers: Any) -> None:
        with pytest.raises(RecipeError, match="should be at least"):
            tune(recipe_of(), tmp_path, *numbers)
        assert world.ran == []

    def test_without_optuna(
        self, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(SetupError, match="towermill install tune"):
            tune(recipe_of(), tmp_path, 2)


class TestElsewhere:
    @pytest.fixture
    def alone(self, world: World, tmp_path: Path) -> list[dict[str, Any]]:
        world.diverges = lambda recipe: recipe.model.embedding_dim == 24  # type: ignore[union-attr]
        return tune(self.recipe(), tmp_path / "alone", 5).trials

    def recipe(self, cluster: str = "none") -> Recipe:
        # At random and never ended, so that no trial depends on which others are done.
        tuned = {**CONTENT["tune"], "sampler": {"kind": "random"}, "pruner": {"kind": "none"}}
        return validate_recipe({**CONTENT, "tune": tuned, "runtime": {"cluster": cluster}})

    @pytest.fixture(autouse=True)
    def _children(self, monkeypatch: pytest.MonkeyPatch) -> None:
        script = Path(__file__).with_name("children.py")
        monkeypatch.setattr(child, "_COMMAND", (str(script),))

    def same(self, one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
        assert "failed" in {trial["state"] for trial in one}
        kept = [*CONTENT["tune"]["parameters"], "state", "ndcg@10", "trial"]
        return all(a[key] == b[key] for a, b in zip(one, other, strict=True) for key in kept)

    def test_in_processes(self, alone: list[dict[str, Any]], tmp_path: Path) -> None:
        trials = tune(self.recipe(), tmp_path / "jobs", 5, jobs=3).trials
        assert self.same(alone, trials)
        assert any("The training loss is nan" in trial["reason"] for trial in trials)

    def test_on_a_cluster(self, alone: list[dict[str, Any]], tmp_path: Path) -> None:
        with LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=False,
            protocol="tcp",
            dashboard_address=":0",
        ) as cluster:
            recipe = self.recipe(cluster.scheduler_address)
            assert self.same(alone, tune(recipe, tmp_path / "dask", 5).trials)


@pytest.mark.slow
class TestTowers:
    def test_real_trainings(self, trained: Any, tmp_path: Path) -> None:
        shutil.copytree(trained.out, tmp_path, dirs_exist_ok=True, symlinks=True)
        content = trained.recipe.model_dump(mode="json", exclude_unset=True)
        spans = {"train.learning_rate": {"choices": [0.01, 0.02, 1e30]}}
        content["tune"] = {"parameters": spans}
        content["train"] = {**content["train"], "optimizer": "sgd"}
        tuned = tune(validate_recipe(content), tmp_path, 3)
        assert "tensorflow" in sys.modules
        by_rate = {trial["train.learning_rate"]: trial for trial in tuned.trials}
        assert by_rate[1e30]["state"] == "failed"
        assert "The training loss is" in by_rate[1e30]["reason"]
        # The one tried second is what it is when it is trained alone.
        changed = {**content, "train": {**content["train"], "learning_rate": 0.02}}
        steps = run(validate_recipe(changed), tmp_path / "alone", Selection(last="train"))
        history = json.loads((steps[2].folder / "history.json").read_text())
        assert by_rate[0.02]["ndcg@10"] == history["best"]
        assert by_rate[0.02]["epochs"] == 2
