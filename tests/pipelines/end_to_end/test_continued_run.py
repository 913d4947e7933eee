"""A finished run continued: what is planned, what is refused, and whole runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from towermill.errors import RecipeError
from towermill.models.build import load_model
from towermill.pipelines import Bundle, Recipe, Selection, plan, run, validate_recipe

ALL = ["prepare", "process", "train", "evaluate", "export"]


def going_on(base: Recipe, earlier: Path, **sections: Any) -> Recipe:
    """The recipe on other data, continuing a run."""
    content = base.model_dump(mode="json")
    content |= {"name": "next", "continue_from": {"run": str(earlier)}}
    for name, keys in {"source": {}, **sections}.items():
        content[name] = {**content[name], **({"seed": 1} if name == "source" else {}), **keys}
    return validate_recipe(content)


def continued(first: Any, out: Path, last: str = "export", **sections: Any) -> Any:
    """Continue a whole run up to a stage, in this process."""
    recipe = going_on(first.recipe, first.latest, **sections)
    steps = run(recipe, out, Selection(last=last))
    return type(first)(recipe, out, {step.stage.name: step.folder for step in steps})


class TestPlan:
    @pytest.fixture
    def latest(self, fakes: Any, tmp_path: Path) -> Path:
        run(fakes.recipe, tmp_path)
        fakes.taken()
        return tmp_path / "tiny" / "latest"

    def test_runs_once(self, fakes: Any, latest: Path, tmp_path: Path) -> None:
        recipe = going_on(fakes.recipe, latest)
        run(recipe, tmp_path)
        assert fakes.taken() == ALL
        run(recipe, tmp_path)
        assert fakes.taken() == []

    def test_keys_hold_the_earlier_ones(self, fakes: Any, latest: Path, tmp_path: Path) -> None:
        steps = {step.stage.name: step for step in plan(going_on(fakes.recipe, latest), tmp_path)}
        key = json.loads((latest / "train" / "manifest.json").read_text())["key"]
        assert steps["train"].ingredients["inputs"]["earlier.train"] == key
        assert steps["train"].inputs["earlier.train"] == (latest / "train").resolve()
        assert set(steps["process"].inputs) == {"prepare", "earlier.process"}
        assert set(steps["export"].inputs) == {"process", "train", "evaluate"}

    def test_another_run_gives_other_keys(self, fakes: Any, latest: Path, tmp_path: Path) -> None:
        before = plan(going_on(fakes.recipe, latest), tmp_path)
        content = fakes.recipe.model_dump(mode="json")
        content["train"]["epochs"] = 1
        run(validate_recipe(content), tmp_path)
        after = plan(going_on(fakes.recipe, latest), tmp_path)
        assert [a.key == b.key for a, b in zip(before, after, strict=True)] == [
            *(True, True, False, False, False)  # the same rows, another model
        ]

    def test_replay_is_part_of_the_key(self, fakes: Any, latest: Path, tmp_path: Path) -> None:
        before = plan(going_on(fakes.recipe, latest), tmp_path)
        after = plan(going_on(fakes.recipe, latest, continue_from={"replay": 0}), tmp_path)
        assert [a.key == b.key for a, b in zip(before, after, strict=True)] == [True] + [False] * 4

    def test_earlier_run_made_again(self, fakes: Any, latest: Path, tmp_path: Path) -> None:
        recipe = going_on(fakes.recipe, latest)
        run(recipe, tmp_path)
        run(fakes.recipe, tmp_path, Selection(force=("train",)))
        reasons = {step.stage.name: step.reason for step in plan(recipe, tmp_path)}
        assert reasons["process"] == "done"
        assert reasons["train"] == "earlier.train was made again"

    def test_latest_that_this_very_recipe_made(self, fakes: Any, tmp_path: Path) -> None:
        run(fakes.recipe, tmp_path)
        latest = tmp_path / "tiny" / "latest"
        recipe = going_on(fakes.recipe, latest)
        recipe = recipe.model_copy(update={"name": "tiny"})
        run(recipe, tmp_path)
        fakes.taken()
        assert not any(step.runs for step in plan(recipe, tmp_path))

    def test_chain(self, fakes: Any, latest: Path, tmp_path: Path) -> None:
        run(going_on(fakes.recipe, latest), tmp_path)
        second = tmp_path / "next" / "latest"
        third = going_on(fakes.recipe, second, source={"seed": 2})
        steps = {step.stage.name: step for step in plan(third, tmp_path)}
        assert steps["train"].inputs["earlier.train"] == (second / "train").resolve()


class TestRefused:
    @pytest.fixture
    def latest(self, fakes: Any, tmp_path: Path) -> Path:
        run(fakes.recipe, tmp_path)
        fakes.taken()
        return tmp_path / "tiny" / "latest"

    @pytest.mark.parametrize(
        ("sections", "match"),
        [
            ({"model": {"tower": [4]}}, r"model\.tower: \[8\] → \[4\]"),
            ({"features": {"item": {}}}, r"features\.item: None → {}"),
        ],
    )
    def test_another_model_or_features(
        self, fakes: Any, latest: Path, tmp_path: Path, sections: Any, match: str
    ) -> None:
        with pytest.raises(RecipeError, match=match):
            run(going_on(fakes.recipe, latest, **sections), tmp_path)
        assert fakes.taken() == []

    def test_what_may_change(self, fakes: Any, latest: Path, tmp_path: Path) -> None:
        changes = {"train": {"epochs": 9}, "split": {"validation": 0.2}, "filters": {"min_user": 2}}
        plan(going_on(fakes.recipe, latest, **changes), tmp_path)

    def test_the_very_same_data(self, fakes: Any, latest: Path, tmp_path: Path) -> None:
        with pytest.raises(RecipeError, match="trained on the very data"):
            plan(going_on(fakes.recipe, latest, source={"seed": 0}), tmp_path)

    def test_no_folder(self, tmp_path: Path, fakes: Any) -> None:
        with pytest.raises(RecipeError, match=r"finished run.*there is no folder .*nowhere"):
            plan(going_on(fakes.recipe, tmp_path / "nowhere"), tmp_path)

    def test_folder_of_runs(self, fakes: Any, latest: Path, tmp_path: Path) -> None:
        with pytest.raises(RecipeError, match=r"Did you mean .*tiny/latest\?"):
            plan(going_on(fakes.recipe, latest.parent), tmp_path)

    def test_unfinished(self, fakes: Any, latest: Path, tmp_path: Path) -> None:
        half = tmp_path / "half"
        shutil.copytree(latest, half)
        (half / "train" / "manifest.json").unlink()
        with pytest.raises(RecipeError, match=r"train has no manifest\.json"):
            plan(going_on(fakes.recipe, half), tmp_path)

    def test_damaged(self, fakes: Any, latest: Path, tmp_path: Path) -> None:
        (latest / "train" / "output").write_text("longer than it was")
        with pytest.raises(RecipeError, match="damaged: its output is gone or changed"):
            plan(going_on(fakes.recipe, latest), tmp_path)

    def test_stages_of_several_runs(self, fakes: Any, latest: Path, tmp_path: Path) -> None:
        mixed = tmp_path / "mixed"
        shutil.copytree(latest, mixed)
        manifest = mixed / "train" / "manifest.json"
        content = json.loads(manifest.read_text())
        content["made_from"]["process"] = "2020-01-01"
        manifest.write_text(json.dumps(content))
        with pytest.raises(RecipeError, match="made again after its `train`"):
            plan(going_on(fakes.recipe, mixed), tmp_path)

    def test_stage_in_anothers_place(self, fakes: Any, latest: Path, tmp_path: Path) -> None:
        foreign = tmp_path / "foreign"
        foreign.mkdir()
        for name in ("process", "train"):
            (foreign / name).symlink_to((latest / "evaluate").resolve())
        with pytest.raises(RecipeError, match="holds no stage 'process'"):
            plan(going_on(fakes.recipe, foreign), tmp_path)

    def test_without_a_run(self, fakes: Any) -> None:
        content = {**fakes.recipe.model_dump(mode="json"), "continue_from": {"replay": 1}}
        with pytest.raises(RecipeError, match=r"`continue_from\.run` is missing"):
            validate_recipe(content)


class TestCommandLine:
    def test_option_sets_the_key(
        self, fakes: Any, tmp_path: Path, cli: Callable[..., Any], monkeypatch: Any
    ) -> None:
        run(fakes.recipe, tmp_path)
        fakes.taken()
        changes = ["name=next", "source.seed=1"]
        options = [word for change in changes for word in ("--set", change)]
        recipe = tmp_path / "tiny.yaml"
        recipe.write_text(fakes.recipe.model_dump_json())
        latest = tmp_path / "tiny" / "latest"
        given = (recipe, *options, "--out", tmp_path, "--continue-from", latest)
        planned = cli("plan", *given, "--json")
        assert planned.code == 0, planned.err
        assert all(step["runs"] for step in json.loads(planned.out))
        assert fakes.taken() == []
        assert cli("run", *given, "--to", "train").code == 0
        assert fakes.taken() == ALL[:3]

    def test_wrong_run_is_one_message(self, tmp_path: Path, cli: Callable[..., Any]) -> None:
        said = cli("plan", "demo", "--continue-from", tmp_path / "nowhere")
        assert said.code == 2
        assert "should be the folder of a finished run" in said.err
        assert "Traceback" not in said.err


@pytest.fixture(scope="module")
def second(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tenth more users and a fifth more items."""
    out = tmp_path_factory.mktemp("second")
    return continued(trained, out, source={"users": 330, "items": 60, "interactions": 1500})


class TestWhole:
    def test_old_ids_are_equal_to_the_byte(self, trained: Any, second: Any) -> None:
        for table, key in (("users", "user_id"), ("items", "item_id")):
            before, after = (
                pl.read_parquet(t.stages["process"] / f"{table}.parquet") for t in (trained, second)
            )
            assert after.height > before.height
            ids = [key, f"raw_{key}"]
            old = [frame.head(before.height).select(ids).to_arrow() for frame in (before, after)]
            assert old[0].equals(old[1])

    def test_bundle_recommends_new_items_and_nothing_seen_before(
        self, trained: Any, second: Any
    ) -> None:
        bundle = Bundle(second.bundle)
        items = set(range(51, 61))
        found: set[int] = set()
        old = Bundle(trained.bundle)
        users = pl.read_parquet(trained.bundle / "user_features.parquet")
        seen = pl.read_parquet(trained.bundle / "seen_items.parquet")
        raw = pl.read_parquet(trained.bundle / "item_features.parquet")["raw_item_id"]
        for row in range(0, 60, 4):
            user = users["raw_user_id"][row]
            best = {i["item_id"] for i in bundle.recommend(user, 20).items}
            met = seen.filter(pl.col("user_id") == users["user_id"][row])["item_id"][0]
            assert not best & set(raw[(met - 3).to_list()])
            found |= best & items
        assert found
        newcomer = pl.read_parquet(second.bundle / "user_features.parquet")["raw_user_id"][-1]
        assert not old.recommend(newcomer).known
        assert bundle.recommend(newcomer).known

    def test_manifest_tells_what_was_continued(self, trained: Any, second: Any) -> None:
        told = Bundle(second.bundle).manifest.recipe["continue_from"]
        assert told["run"] == str(trained.latest)

    def test_third(self, second: Any, tmp_path: Path) -> None:
        source = {"users": 340, "items": 70, "interactions": 1500, "seed": 2}
        third = continued(second, tmp_path, last="train", source=source, train={"epochs": 1})
        before, after = (
            pl.read_parquet(t.stages["process"] / "items.parquet") for t in (second, third)
        )
        assert after.height > before.height
        assert after.head(before.height)["raw_item_id"].equals(before["raw_item_id"])


class TestNews:
    def test_articles_categories_and_readers(self, news: Any, tmp_path: Path) -> None:
        source = {"users": 90, "articles": 240, "topics": 5, "impressions": 200, "hidden": 0}
        second = continued(news, tmp_path, source=source, train={"epochs": 1})
        folders = (news.stages["process"], second.stages["process"])
        for table, key in (("users", "user_id"), ("items", "item_id")):
            before, after = (pl.read_parquet(f / f"{table}.parquet") for f in folders)
            assert after.height > before.height
            ids = [key, f"raw_{key}"]
            assert after.head(before.height).select(ids).equals(before.select(ids))
        tokens = [(f / "text" / "tokenizer.json").read_bytes() for f in folders]
        assert tokens[0] == tokens[1]
        stats = json.loads((folders[1] / "stats.json").read_text())
        histories = pl.read_parquet(folders[1] / "histories.parquet")
        train = pl.read_parquet(folders[1] / "train" / "*.parquet")
        assert train.height == stats["rows"]["train"] + stats["rows"]["replayed"]
        assert train["history_id"].max() == histories.height - 1
        found = Bundle(second.bundle).recommend(history=[1, 2], k=240).items
        assert len(found) >= 200


class TestContent:
    def test_old_items_keep_their_text_and_users_what_they_met(
        self, slates_run: Any, tmp_path: Path
    ) -> None:
        """`content` has nothing to grow: vectors are made of all items' text, old and new."""
        sections = {"model": {"kind": "content"}}
        first = slates_run.changed(tmp_path / "first", **sections)
        content = first.recipe.model_dump(mode="json")
        content["source"]["seed"] = 5
        content["continue_from"] = {"run": str(first.latest)}
        recipe = validate_recipe(content)
        stages = {step.stage.name: step.folder for step in run(recipe, tmp_path / "second")}
        before, after = (
            pl.read_parquet(folder / "items.parquet")
            for folder in (first.stages["process"], stages["process"])
        )
        assert after.height >= before.height
        assert after["item_id"][: before.height].to_list() == before["item_id"].to_list()
        assert (np.abs(after["vector"].to_numpy()).sum(axis=1) > 0).mean() > 0.95
        data, model = load_model(stages["process"], stages["train"], recipe.model)
        assert data.met().height > first.live()[0].met().height
        users = model.embed_queries(data.users)
        assert (np.abs(users).sum(axis=1) > 0).all()
