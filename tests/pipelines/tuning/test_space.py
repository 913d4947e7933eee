"""Ranges: what is refused before anything runs, and the recipes that come of the rest."""

from __future__ import annotations

from typing import Any

import pytest
from tuning_world import CONTENT, RATE, recipe_of

from towermill.errors import RecipeError
from towermill.pipelines import load_recipe, shipped_recipes, validate_recipe
from towermill.pipelines.tuning.space import Space


class TestKeys:
    @pytest.mark.parametrize(
        ("key", "said"),
        [
            ("train.lerning_rate", "no key 'lerning_rate'. Did you mean 'learning_rate'"),
            ("train.schedule.warmup", "`train.schedule` has no key 'warmup'"),
            ("learning_rate", "Did you mean 'train.learning_rate'"),
            ("text.title_size", "should name keys of `model` and `train`"),
            ("train.epochs.more", "has no key 'more'"),
            ("model.heads", "`model` has no key 'heads'"),
        ],
    )
    def test_unknown(self, key: str, said: str) -> None:
        with pytest.raises(RecipeError, match=said):
            Space(recipe_of(parameters={key: {"low": 1, "high": 2}}))

    def test_sections_within_sections(self) -> None:
        nested = {"train": {"learning_rate": RATE, "schedule": {"floor": {"low": 0, "high": 1}}}}
        found = recipe_of(parameters=nested).tune
        assert found is not None
        assert set(found.parameters) == {"train.learning_rate", "train.schedule.floor"}

    def test_set_changes_one_end(self, tmp_path: Any) -> None:
        import yaml

        path = tmp_path / "r.yaml"
        path.write_text(yaml.safe_dump(CONTENT))
        found = load_recipe(str(path), ["tune.parameters.train.learning_rate.high=0.2"]).tune
        assert found is not None
        changed = found.parameters["train.learning_rate"]
        assert (changed.low, changed.high, changed.log) == (1e-4, 0.2, True)

    def test_kinds_of_models(self) -> None:
        """A section's defaults are those of its own kind."""
        tune = {"parameters": {"model.kind": {"choices": ["two_tower", "ncf", "funk_svd"]}}}
        space = Space(validate_recipe({**CONTENT, "model": {"kind": "two_tower"}, "tune": tune}))
        for kind in ("two_tower", "ncf", "funk_svd"):
            assert space.recipe({"model.kind": kind}).model.kind == kind

    def test_without_a_section(self) -> None:
        with pytest.raises(RecipeError, match=r"in a section such as\ntune:"):
            Space(recipe_of().model_copy(update={"tune": None}))

    def test_without_validation(self) -> None:
        content = {**CONTENT, "split": {"kind": "time", "validation": 0}}
        with pytest.raises(RecipeError, match=r"Set `split\.validation` above 0"):
            Space(validate_recipe(content))


class TestRanges:
    @pytest.mark.parametrize(
        ("span", "said"),
        [
            ({"low": 2, "high": 1}, "`low` should be below `high`"),
            ({"low": 1}, "Expected `low` and `high`, or `choices`"),
            ({"low": 0, "high": 1, "log": True}, "above 0 with `log`"),
            ({"low": 1, "high": 2, "log": True, "step": 1}, "should not both"),
            ({"low": 1, "high": 2, "step": 0.3}, "whole number of `step`s"),
            ({"choices": [1]}, "two or more"),
            ({"choices": [1, 1]}, "two or more different"),
            ({"choices": [1, 2], "low": 1}, "cannot be combined"),
            ({"low": 1, "hihg": 2}, "Did you mean 'high'"),
        ],
    )
    def test_that_contradict_themselves(self, span: dict[str, Any], said: str) -> None:
        with pytest.raises(RecipeError, match=said):
            recipe_of(parameters={"train.learning_rate": span})

    @pytest.mark.parametrize(
        ("key", "span", "said"),
        [
            ("train.learning_rate", {"low": -1, "high": 1}, "-1.0 does not make a valid recipe"),
            ("model.dropout", {"low": 0, "high": 1}, "1.0 does not make .*\n.*below 1"),
            ("model.embedding_dim", {"low": 4.5, "high": 9}, "a whole number"),
            ("model.embedding_dim", {"low": 4, "high": 9, "step": 2.5}, "should be a whole number"),
            ("model.tower", {"low": 4, "high": 8}, "a list, such as"),
            ("model.logq", {"low": 0, "high": 1}, "should have `choices`"),
            ("model.tower", {"choices": [[8], [-8]]}, r"\[-8\] does not make"),
            ("train.optimizer", {"choices": ["adam", "adamm"]}, "Did you mean 'adam'"),
            ("train.weight_decay", {"low": 0, "high": 1}, "for `optimizer: adamw`"),
            ("train.learning_rate", {"choices": [0.01, "1e-2"]}, "same choice twice"),
            ("train.monitor", {"choices": ["ndcg@10", "mrr@10"]}, "leave `train.monitor` as it is"),
        ],
    )
    def test_an_end_that_makes_no_recipe(self, key: str, span: dict[str, Any], said: str) -> None:
        with pytest.raises(RecipeError, match=said):
            Space(recipe_of(parameters={key: span}))

    def test_whole_numbers_where_the_key_is_one(self) -> None:
        from optuna.distributions import FloatDistribution, IntDistribution

        spans = {
            "train.patience": {"low": 1.0, "high": 9},
            "model.dropout": {"low": 0, "high": 0.5},
        }
        found = Space(recipe_of(parameters=spans)).distributions()
        assert found == {
            "train.patience": IntDistribution(1, 9),
            "model.dropout": FloatDistribution(0, 0.5),
        }


class TestRecipes:
    def test_of_what_was_drawn(self) -> None:
        space = Space(recipe_of())
        drawn = {"train.learning_rate": 0.02, "model.embedding_dim": 24, "model.tower": "[16, 8]"}
        found = space.recipe(space.values(drawn))
        assert (found.train.learning_rate, found.model.embedding_dim) == (0.02, 24)  # type: ignore[union-attr]
        assert found.model.tower == (16, 8)  # type: ignore[union-attr]
        assert found.tune is None
        assert found.train.epochs == 3

    def test_its_own(self) -> None:
        space = Space(recipe_of())
        assert space.recipe({}) == recipe_of().model_copy(update={"tune": None})
        assert space.own_parameters() == {
            "train.learning_rate": 0.05,
            "model.embedding_dim": 16,
            "model.tower": "[8]",
        }

    @pytest.mark.parametrize(
        "span",
        [
            {"model.embedding_dim": {"low": 20, "high": 30}},
            {"model.embedding_dim": {"low": 8, "high": 18, "step": 5}},
            {"model.tower": {"choices": [[16], [4]]}},
            {"model.item_tower": {"choices": [[8], [16, 8]]}},
        ],
    )
    def test_its_own_lie_outside(self, span: dict[str, Any]) -> None:
        assert Space(recipe_of(parameters=span)).own_parameters() is None

    @pytest.mark.parametrize("name", shipped_recipes())
    def test_what_nobody_set_survives_the_way(self, name: str) -> None:
        local = name.startswith(("ali-ccp", "ebnerd", "mind", "movielens-1m"))
        recipe = load_recipe(name, ["source.path=x"] if local else [])
        spans = {"parameters": {"train.patience": {"low": 1, "high": 3}}}
        content = {**recipe.model_dump(mode="json", exclude_unset=True), "tune": spans}
        assert Space(validate_recipe(content)).recipe({}) == recipe


class TestRoundTrip:
    @pytest.mark.parametrize(
        "given", [{"choices": [[64], [128, 64]]}, {"low": 1e-4, "high": 1e-2, "log": True}]
    )
    def test_a_recipe_reads_what_it_writes(self, given: dict[str, Any]) -> None:
        """As a stage's own process is told of it."""
        key = "model.tower" if "choices" in given else "train.learning_rate"
        recipe = recipe_of(parameters={key: given})
        assert validate_recipe(recipe.model_dump(mode="json")) == recipe
