"""The `features` section: what it takes over, and what contradicts itself."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from towermill.errors import RecipeError
from towermill.features.config import Feature
from towermill.workflows.config import FeatureConfig


def over(proposed: dict[str, Any] | None = None, **config: Any) -> dict[Any, Any]:
    return FeatureConfig.model_validate(config).over(proposed or {})


class TestOver:
    def test_proposed_stand_where_nothing_is_given(self) -> None:
        found = over({"item": {"genre": Feature()}}, user={"age": "number"})
        assert found == {
            "user": {"age": Feature(kind="number")},
            "item": {"genre": Feature()},
            "context": {},
        }

    def test_given_ones_replace_all_of_an_entity(self) -> None:
        found = over({"item": {"genre": Feature(), "year": Feature()}}, item={"year": "number"})
        assert found["item"] == {"year": Feature(kind="number")}

    def test_empty_takes_all_away(self) -> None:
        assert over({"item": {"genre": Feature()}}, item={})["item"] == {}

    def test_proposal_is_not_changed(self) -> None:
        proposed = {"item": {"genre": Feature()}}
        over(proposed)["item"]["more"] = Feature()
        assert proposed == {"item": {"genre": Feature()}}


class TestRefused:
    def test_a_name_twice(self) -> None:
        with pytest.raises(RecipeError, match="Received twice: 'age'"):
            over({"item": {"age": Feature()}}, user={"age": "number"})

    @pytest.mark.parametrize("name", ["user_id", "item_id", "timestamp"])
    def test_ids_and_timestamp(self, name: str) -> None:
        with pytest.raises(RecipeError, match=name):
            over(context={name: "category"})

    def test_names_that_no_input_can_have(self) -> None:
        with pytest.raises(RecipeError) as error:
            over(
                item={"Listed On": "age", "größe": "number", "class": "category", "Price": "number"}
            )
        said = str(error.value)
        assert "Received: 'Listed On', 'größe', 'class'" in said
        assert "`listed_on: {kind: age, column: Listed On}`" in said

    def test_names_that_differ_in_case_alone(self) -> None:
        with pytest.raises(RecipeError, match=r"more than case\. Received: Age and age"):
            over(user={"Age": "number"}, item={"age": "number"})

    def test_columns_belong_to_the_source(self) -> None:
        with pytest.raises(RecipeError, match="should have no `column`"):
            over(item={"age": {"kind": "number", "column": "Age"}})

    @pytest.mark.parametrize("kind", ["hour", "weekday"])
    def test_moment_of_an_item(self, kind: str) -> None:
        with pytest.raises(RecipeError, match=r"under `features\.context`"):
            over(item={"h": kind})

    @pytest.mark.parametrize(
        ("user", "match"),
        [
            ({"likes": {"kind": "list", "shared_with": "gerne"}}, "'gerne'"),
            ({"likes": {"kind": "number", "shared_with": "genre"}}, "be set on a category or list"),
            ({"likes": {"kind": "list", "shared_with": "price"}}, "'price'"),
            (
                {
                    "likes": {"kind": "list", "shared_with": "genre"},
                    "more": {"kind": "list", "shared_with": "likes"},
                },
                "'likes'",
            ),
            (
                {"likes": {"kind": "list", "shared_with": "genre", "max_size": 9}},
                "`likes.max_size` has no effect.*Set `max_size` there",
            ),
        ],
    )
    def test_shared_with(self, user: dict[str, Any], match: str) -> None:
        with pytest.raises(RecipeError, match=match):
            over(item={"genre": "category", "price": "number"}, user=user)

    def test_shared_with_an_id_is_right(self) -> None:
        over(context={"history": {"kind": "list", "shared_with": "item_id"}})

    @pytest.mark.parametrize(
        ("feature", "match"),
        [
            ({"freq_threshold": 2, "max_size": 3}, "not both"),
            ({"kind": "category", "boundaries": [1]}, "a number or an age"),
            ({"kind": "number", "boundaries": [2, 1]}, "that rise"),
            ({"kind": "number", "boundaries": [1, 1]}, "that rise"),
            ({"kind": "number", "boundaries": []}, "that rise"),
            ({"kind": "category", "max_length": 3}, "should be a list"),
        ],
    )
    def test_options_that_contradict_one_another(self, feature: dict[str, Any], match: str) -> None:
        with pytest.raises(RecipeError, match=match):
            over(item={"x": feature})

    @pytest.mark.parametrize(
        ("feature", "match"),
        [
            ({"kind": "number"}, "its own vocabulary"),
            ({"shared_with": "user_id"}, "its own vocabulary"),
            ({"freq_threshold": 2, "max_size": 3}, "not both"),
        ],
    )
    def test_ids(self, feature: dict[str, Any], match: str) -> None:
        with pytest.raises(RecipeError, match=match):
            over(ids={"item_id": feature})

    def test_unknown_key(self) -> None:
        with pytest.raises(ValidationError, match="itm"):
            FeatureConfig.model_validate({"itm": {}})
