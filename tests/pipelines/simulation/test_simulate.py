"""`towermill simulate` from a recipe to a table: order of policies, files, resuming, refusals."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from towermill.errors import RecipeError
from towermill.pipelines import validate_recipe
from towermill.pipelines.simulation import simulate as module
from towermill.pipelines.simulation.simulate import load_environment, simulate

POLICIES = ["random", "popular", "content", "model", "hybrid_online", "oracle"]


class TestSimulate:
    @pytest.fixture(scope="class")
    @classmethod
    def found(cls, slates_run: Any) -> dict[str, Any]:
        return simulate(slates_run.recipe, slates_run.out, seeds=[0, 1])

    def test_floor_and_ceiling(self, found: dict[str, Any]) -> None:
        figures = found["policies"]
        score = {name: figures[name]["score"] for name in figures}
        assert list(score) == POLICIES
        assert score["random"] < min(score["popular"], score["content"])
        assert score["popular"] < score["model"] < score["oracle"]
        assert score["random"] >= 6 / 2000
        for name in POLICIES:
            low, high = figures[name]["interval"]
            assert low < score[name] < high
            assert figures[name]["clicks"] < figures[name]["steps"]

    def test_what_learns_is_trained_first(self, found: dict[str, Any]) -> None:
        for name in POLICIES:
            assert len(found["policies"][name]["train"]) == (2 if name == "hybrid_online" else 0)

    def test_best_checkpoint_is_tested(self, found: dict[str, Any]) -> None:
        folder = Path(found["folder"]) / "seed-0" / "hybrid_online"
        names = {path.name for path in (folder / "checkpoints").iterdir()}
        assert names == {"best.npz", "episode-1.npz", "episode-2.npz"}
        scores = [e["score"] for e in json.loads((folder / "result.json").read_text())["train"]]
        last_best = 2 - int(np.argmax(scores[::-1]))
        best = np.load(folder / "checkpoints" / "best.npz")
        kept = np.load(folder / "checkpoints" / f"episode-{last_best}.npz")
        np.testing.assert_array_equal(best["items"], kept["items"])

    def test_scores_by_user(self, found: dict[str, Any], slates_run: Any) -> None:
        users = pl.read_csv(Path(found["folder"]) / "scores.csv")
        tested = users.filter(pl.col("phase") == "test")
        assert tested.height == len(POLICIES) * 2 * 2 * 60
        assert tested["user_id"].min() == 61
        assert users.filter(pl.col("phase") == "train")["user_id"].max() == 60
        mean = tested.filter(pl.col("policy") == "model")["score"].mean()
        assert mean == pytest.approx(found["policies"]["model"]["score"])

    def test_plot_and_summary(self, found: dict[str, Any]) -> None:
        folder = Path(found["folder"])
        assert (folder / "clicks.png").read_bytes()[:4] == b"\x89PNG"
        assert json.loads((folder / "simulation.json").read_text()) == json.loads(json.dumps(found))
        assert not list(folder.rglob("*partial*"))

    def test_goes_on_after_being_cut_off(
        self, found: dict[str, Any], slates_run: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = Path(found["folder"])
        last = folder / "seed-1" / "oracle"
        begun = last.with_name("oracle.partial")
        last.rename(begun)
        (begun / "result.json").write_text("half of")
        ran = []
        run_trial = module.run_trial

        def spy(name: str, *arguments: Any) -> None:
            ran.append(name)
            run_trial(name, *arguments)

        monkeypatch.setattr(module, "run_trial", spy)
        again = simulate(slates_run.recipe, slates_run.out, seeds=[0, 1])
        assert ran == ["oracle"]
        for name in POLICIES:
            assert again["policies"][name]["by_seed"] == found["policies"][name]["by_seed"]

    def test_command_line(
        self, found: dict[str, Any], cli: Callable[..., Any], slates_run: Any
    ) -> None:
        asked = ("simulate", slates_run.file, "--out", slates_run.out, "--seeds", "0,1")
        said = json.loads(cli(*asked, "--json").out)["policies"]
        for name in POLICIES:
            assert said[name]["by_seed"] == found["policies"][name]["by_seed"]
            assert said[name]["interval"] == list(found["policies"][name]["interval"])
        assert re.search(r"hybrid_online +0\.00", cli(*asked).out)


class Readers:
    """An environment as anybody may have: users of another's ids, who look at one slate."""

    def __init__(self) -> None:
        self.queue: list[Any] = []

    def reset(self) -> None:
        self.queue = [3, "someone else", 70]

    def has_next_state(self) -> bool:
        return bool(self.queue)

    def get_state(self) -> Any:
        return self.queue[0]

    def get_response(self, slate: list[Any]) -> Any:
        self.queue.pop(0)
        return slate[-1]

    def get_score(self) -> float:
        return 1 / 2000


class TestAnothersEnvironment:
    def test_is_usable_as_it_is(self, slates_run: Any) -> None:
        recipe = slates_run.changed_to(policies=["random", "hybrid_online"])
        found = simulate(recipe, slates_run.out, environment=Readers(), training=Readers())
        figures = found["policies"]["hybrid_online"]
        assert (figures["score"], figures["steps"], figures["clicks"]) == (1 / 2000, 3, 3)
        assert figures["train"] == [1 / 2000] * 2

    def test_named_on_the_command_line(self) -> None:
        assert isinstance(load_environment("collections:OrderedDict"), dict)
        for name, message in (
            ("collections", "package.module:name"),
            ("no_such_module:x", "No module named"),
            ("collections:Nothing", "no attribute"),
        ):
            with pytest.raises(RecipeError, match=message):
                load_environment(name)


class TestRefused:
    def test_source_without_users(self, trained: Any) -> None:
        with pytest.raises(RecipeError, match="no simulated users; `slates` has"):
            simulate(trained.recipe, trained.out)

    def test_only_funk_svd_learns_from_clicks(self, slates_run: Any, tmp_path: Path) -> None:
        content = slates_run.recipe.model_dump(mode="json") | {"model": {"kind": "two_tower"}}
        with pytest.raises(RecipeError, match=r"'hybrid_online', and only `model\.kind: funk_svd`"):
            simulate(validate_recipe(content), tmp_path)
        assert not list(tmp_path.iterdir())

    def test_content_goes_by_vectors(self, slates_run: Any, tmp_path: Path) -> None:
        content = slates_run.recipe.model_dump(mode="json") | {"text": {}}
        with pytest.raises(RecipeError, match=r"'content', which uses vectors"):
            simulate(validate_recipe(content), tmp_path)

    @pytest.mark.parametrize("seeds", [[], [1, 1]])
    def test_seeds(self, seeds: list[int], slates_run: Any) -> None:
        with pytest.raises(RecipeError, match="different numbers"):
            simulate(slates_run.recipe, slates_run.out, seeds=seeds)

    def test_no_users_left_to_test(self, slates_run: Any) -> None:
        with pytest.raises(RecipeError, match="fewer than the source's 120 users"):
            simulate(slates_run.changed_to(train_users=120), slates_run.out)

    def test_no_oracle_of_anothers(self, slates_run: Any) -> None:
        with pytest.raises(RecipeError, match="'oracle', which knows"):
            simulate(slates_run.recipe, slates_run.out, environment=Readers())

    def test_seeds_on_the_command_line(self, cli: Callable[..., Any], slates_run: Any) -> None:
        said = cli("simulate", slates_run.file, "--seeds", "one")
        assert (said.code, "--seeds should be comma-separated numbers" in said.err) == (2, True)
