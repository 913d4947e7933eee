"""The JSON Schema of recipes takes what `load_recipe` takes, and refuses what it refuses."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest
import yaml

from towermill.models.configs import MODELS
from towermill.pipelines import shipped_recipes
from towermill.pipelines.recipe.load import shipped_text
from towermill.pipelines.recipe.schema import recipe_schema
from towermill.workflows.sources import SOURCES

SYNTHETIC = {"kind": "synthetic"}
TABLE = {"kind": "table", "interactions": {"path": "log.csv"}}


@pytest.fixture(scope="module")
def validator() -> Any:
    return jsonschema_rs.validator_for(recipe_schema())


@pytest.mark.parametrize("name", shipped_recipes())
def test_recipes_that_ship(name: str, validator: Any) -> None:
    content = yaml.safe_load(shipped_text(name))
    if content["source"] == {"kind": "aliccp"}:
        content["source"]["path"] = "ali-ccp"  # which is set on the command line
    validator.validate(content)


@pytest.mark.parametrize(
    "content",
    [
        {"source": SYNTHETIC, "model": {"tower": [64]}},
        {"source": SYNTHETIC, "model": {"kind": "blend", "parts": [{"kind": "ease"}, {}]}},
        {"source": SYNTHETIC, "export": {"index": "exact"}},
        {"source": SYNTHETIC, "features": {"item": {"genre": "category"}}},
        {"source": {"kind": "shop.log:Source", "anything": 1}},
        {"source": {**TABLE, "interactions": {"path": "x", "signals": ["click"]}}},
        {"source": TABLE, "features": {"positive": {"event": ["buy"], "rating": 4}}},
    ],
)
def test_short_forms(content: dict[str, Any], validator: Any) -> None:
    validator.validate(content)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"source": {"path": "x"}},
        {"source": {"kind": "tables"}},
        {"source": {**TABLE, "interaction": {}}},
        {"source": {"kind": "table"}},
        {"source": SYNTHETIC, "model": {"kind": "ease", "tower": [64]}},
        {"source": SYNTHETIC, "model": {"towr": [64]}},
        {"source": SYNTHETIC, "model": {"kind": "blend", "parts": [{"kind": "ease", "x": 1}]}},
        {"source": SYNTHETIC, "split": {"kind": "tiem"}},
        {"source": SYNTHETIC, "export": {"index": "exakt"}},
        {"source": SYNTHETIC, "trian": {}},
    ],
)
def test_refused(content: dict[str, Any], validator: Any) -> None:
    assert not validator.is_valid(content)


def test_has_every_part() -> None:
    names = recipe_schema()["$defs"]
    assert {f"source.{kind}" for kind in SOURCES.own} <= names.keys()
    assert {f"model_kind.{kind}" for kind in MODELS.own} <= names.keys()
