"""What is refused of other packages' parts, before long work and in words that help."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from towermill.errors import DataError, RecipeError
from towermill.pipelines import run, validate_recipe

Content = Callable[..., dict[str, Any]]
Install = Callable[..., None]

KINDS = """
from shopkit.configs import CrossConfig

def build(data, **options):
    return data

class Silent(CrossConfig):
    kind: str = "silent"
    def batches(self, data, **options):
        return None

class Turned(CrossConfig):
    contract = "retriever"
    kind: str = "turned"
"""


class TestUnknown:
    @pytest.mark.parametrize(
        ("section", "given", "nearest", "group"),
        [
            ("source", {"kind": "basket"}, "baskets", "sources"),
            ("model", {"kind": "croos"}, "cross", "models"),
            ("model", {"query_encoder": "gate"}, "gated", "tower_encoders"),
            ("model", {"item_encoder": "gaited"}, "gated", "tower_encoders"),
            ("model", {"loss": "softmx"}, "softmax", "losses"),
            ("model", {"negatives": "uniforme"}, "uniform", "negatives"),
            ("features", {"user": {"postcode": "regions"}}, "region", "features"),
            ("evaluate", {"metrics": ["rbpp"]}, "rbp", "metrics"),
        ],
    )
    def test_the_nearest_and_where_it_was_looked_up(
        self, content: Content, section: str, given: Any, nearest: str, group: str
    ) -> None:
        told = (
            rf"Did you mean '{nearest}'\? Towermill has: \w+.*entry points of `towermill\.{group}`"
        )
        with pytest.raises(RecipeError, match=told):
            validate_recipe(content(**{section: given}))

    @pytest.mark.parametrize("encoder", ["news_encoder", "user_encoder"])
    def test_of_news(self, shopkit: Path, encoder: str) -> None:
        recipe = {"name": "n", "source": {"kind": "news"}, "model": {"kind": "nrms"}}
        recipe["model"][encoder] = "self_atention"
        told = rf"Did you mean 'self_attention'.*`towermill\.{encoder}s`"
        with pytest.raises(RecipeError, match=told):
            validate_recipe(recipe)

    def test_monitor(self, content: Content) -> None:
        with pytest.raises(RecipeError, match=r"`train\.monitor` should be.* rbp@k.*mean 'rbp'"):
            validate_recipe(content(train={"monitor": "rpb@10"}))
        with pytest.raises(RecipeError, match=r"`train\.monitor` should be"):
            validate_recipe(content(evaluate={}))


class TestMissing:
    @pytest.mark.parametrize(
        ("section", "given"),
        [
            ("features", {"graph": "{}"}),
            ("model", {"kind": "custom", "build": "{}"}),
            ("model", {"kind": "custom", "build": "shopkit.factors:build", "build_batches": "{}"}),
            ("model", {"query_encoder": "{}"}),
            ("source", {"kind": "{}"}),
            ("model", {"kind": "{}"}),
            ("evaluate", {"metrics": ["{}"]}),
            ("features", {"user": {"postcode": "{}"}}),
        ],
    )
    @pytest.mark.parametrize(
        ("place", "told"),
        [
            (
                "shopcart.parts:build",
                "should be importable.* 'shopcart'|no module 'shopcart.parts'",
            ),
            ("shopkit.towers:Gatd", "shopkit.towers:Gatd should be importable.*has no .*'Gatd'"),
        ],
    )
    def test_is_refused_with_the_recipe(
        self, content: Content, section: str, given: Any, place: str, told: str
    ) -> None:
        filled = json.loads(json.dumps(given).replace("{}", place))
        with pytest.raises(RecipeError, match=told):
            validate_recipe(content(**{section: filled}))

    def test_the_module_is_read_and_not_run(self, content: Content, install: Install) -> None:
        install("costly", "raise SystemExit\ndef build(columns): ...\n")
        assert validate_recipe(content(features={"graph": "costly:build"})).features.graph
        with pytest.raises(RecipeError, match=r"costly has no 'biuld'\. Did you mean 'build'\?"):
            validate_recipe(content(features={"graph": "costly:biuld"}))

    @pytest.mark.parametrize(
        "text",
        [
            "from os.path import *",
            "def __getattr__(name): ...",
            "globals()['made'] = len",
            "made = 1",
        ],
    )
    def test_a_module_that_may_have_any_name(
        self, content: Content, install: Install, text: str
    ) -> None:
        install("makes", text)
        validate_recipe(content(features={"graph": "makes:made"}))


class TestBroken:
    """Code that fails as it is imported is named, with what it raised."""

    def test_module(self, content: Content, install: Install) -> None:
        install("failing", "from towermill.models.configs.base import ModelConfig\n1 / 0\nKind = 1")
        with pytest.raises(RecipeError, match=r"failing:Kind should.*raised ZeroDivisionError"):
            validate_recipe(content(model={"kind": "failing:Kind"}))

    def test_package(self, content: Content, tmp_path: Path, install: Install) -> None:
        install("unused")
        (tmp_path / "inside").mkdir()
        (tmp_path / "inside" / "__init__.py").write_text("raise RuntimeError('not here')")
        (tmp_path / "inside" / "graph.py").write_text("build = 1")
        with pytest.raises(RecipeError, match=r"inside\.graph:build.*RuntimeError: not here"):
            validate_recipe(content(features={"graph": "inside.graph:build"}))

    def test_names_within_functions(self, content: Content, install: Install) -> None:
        install("inner", "def outer():\n    def build(columns): ...\n    found = build\n")
        for name in ("build", "found"):
            with pytest.raises(RecipeError, match=f"inner has no '{name}'"):
                validate_recipe(content(features={"graph": f"inner:{name}"}))


class TestTwice:
    def test_two_packages(self, content: Content, install: Install) -> None:
        install("shoptools", tower_encoders={"gated": "shoptools:Gated"})
        told = "'gated' should be declared once.*one of sho.* and one of sho.*`towermill.tower_enc"
        with pytest.raises(RecipeError, match=told):
            validate_recipe(content())

    def test_a_name_of_towermills(self, content: Content, install: Install) -> None:
        install("shoptools", tower_encoders={"mlp": "shoptools:MLP"})
        with pytest.raises(RecipeError, match="one of towermill and one of shoptools"):
            validate_recipe(content(model={"query_encoder": "mlp"}))

    def test_names_that_the_recipe_does_not_use(self, content: Content, install: Install) -> None:
        install("shoptools", tower_encoders={"mlp": "shoptools:MLP"}, metrics={"ndcg": "x:X"})
        assert validate_recipe(content("cross", evaluate={})).model.kind == "cross"

    def test_metrics_of_one_result(self, content: Content, install: Install) -> None:
        install(
            "shoptools", "from shopkit.metrics import RankBiasedPrecision as R\nclass P(R): ..."
        )
        told = "'rbp' of shopkit.metrics:RankBiasedPrecision and of shoptools:P"
        with pytest.raises(RecipeError, match=told):
            validate_recipe(content(evaluate={"metrics": ["rbp", "shoptools:P"]}))
        both = ["rbp", "shopkit.metrics:RankBiasedPrecision"]  # one and the same
        validate_recipe(content(evaluate={"metrics": both}))


class TestModels:
    @pytest.mark.parametrize(
        ("model", "told"),
        [
            (
                {"kind": "custom", "build": "kinds:build"},
                r"`model\.build: kinds:build` should return a Retriever or a Ranker.*Processed",
            ),
            ({"kind": "kinds:Turned"}, "should return a retriever.*Received: Ranker"),
            (
                {"kind": "kinds:Silent"},
                "should give training batches of interactions, and gives none",
            ),
        ],
    )
    def test_refused_by_training(
        self, content: Content, install: Install, tmp_path: Path, model: Any, told: str
    ) -> None:
        install("kinds", KINDS)
        with pytest.raises(RecipeError, match=told):
            run(validate_recipe(content(model=model)), tmp_path / "runs")

    def test_not_a_model(self, content: Content) -> None:
        with pytest.raises(
            RecipeError, match=r"'shopkit\.towers:Gated' should be a class that ext"
        ):
            validate_recipe(content(model={"kind": "shopkit.towers:Gated"}))

    def test_methods_that_are_missing(self, content: Content, install: Install) -> None:
        text = "from towermill.models.configs.base import ModelConfig\nclass Half(ModelConfig): ..."
        install("half", text)
        with pytest.raises(
            RecipeError, match=r"'half:Half' should implement create of towermill\."
        ):
            validate_recipe(content(model={"kind": "half:Half"}))


class TestSource:
    def test_files_that_are_missing(self, content: Content, tmp_path: Path) -> None:
        recipe = validate_recipe(content(source={"kind": "baskets", "path": str(tmp_path)}))
        with pytest.raises(DataError, match=r"lacks: baskets\.jsonl, products\.csv"):
            recipe.source.files()


class TestMetric:
    def test_by_its_formula(self, shopkit: Path) -> None:
        from shopkit.metrics import RankBiasedPrecision

        from towermill.models.metrics.catalogue.base import Hits

        rows, places = np.array([0, 0, 2]), np.array([0, 3, 1])
        found = RankBiasedPrecision().per_query(Hits(rows, places, rows, np.array([2, 1, 1]), 5))
        assert_allclose(found, [0.2 * (1 + 0.8**3), 0, 0.2 * 0.8])
