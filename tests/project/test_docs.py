"""What the pages say must be so: keys, recipes, files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from towermill.features.config import Feature
from towermill.models.configs import MODELS
from towermill.pipelines import shipped_recipes
from towermill.pipelines.recipe.recipe import Recipe
from towermill.pipelines.recipe.tune import (
    ParameterRange,
    PrunerConfig,
    SamplerConfig,
    TuneConfig,
)
from towermill.workflows.sources import SOURCES

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def sections() -> dict[str, type[BaseModel]]:
    found: dict[str, Any] = {
        name: field.annotation
        for name, field in Recipe.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
    found |= {"tune": TuneConfig, "tune sampler": SamplerConfig, "tune pruner": PrunerConfig}
    found |= {"tune parameters": ParameterRange}
    found |= {f"source {kind}": SOURCES.get(kind) for kind in SOURCES.own}
    return {**found, **{f"model {kind}": MODELS.get(kind) for kind in MODELS.own}}


class TestRecipesPage:
    text = (ROOT / "docs" / "recipes.md").read_text()

    @pytest.mark.parametrize(("section", "model"), [*sections().items(), ("feature", Feature)])
    def test_every_key_is_told(self, section: str, model: type[BaseModel]) -> None:
        untold = [k for k in model.model_fields if not re.search(rf"\b{re.escape(k)}\b", self.text)]
        assert untold == [], section

    def test_every_section_is_told(self) -> None:
        told = re.compile(r"`(\w+)`|^## (.+)$", re.MULTILINE)
        words = {
            w for match in told.findall(self.text) for w in re.findall(r"\w+", " ".join(match))
        }
        assert [key for key in Recipe.model_fields if key not in words] == []


class TestLinks:
    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
    def test_files_exist(self, page: Path) -> None:
        links = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
        assert [link for link in links if not (page.parent / link).exists()] == []


class TestReadme:
    text = (ROOT / "README.md").read_text()

    def test_names_every_recipe_that_ships(self) -> None:
        assert [name for name in shipped_recipes() if f"`{name}`" not in self.text] == []

    def test_make_targets_exist(self) -> None:
        makefile = (ROOT / "Makefile").read_text()
        targets = set(re.findall(r"^make (\w+)", self.text, re.MULTILINE))
        assert targets >= {"demo", "test"}
        assert [t for t in targets if not re.search(rf"^{t}:", makefile, re.MULTILINE)] == []
