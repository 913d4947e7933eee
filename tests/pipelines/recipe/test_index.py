"""What a recipe may say of its index."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from towermill.pipelines.recipe.index import IndexConfig


class TestIndexConfig:
    @pytest.mark.parametrize("kind", ["auto", "exact", "hnsw"])
    def test_the_kind_alone(self, kind: str) -> None:
        config = IndexConfig.model_validate(kind)
        assert config == IndexConfig(kind=kind)
        assert IndexConfig.model_validate(config.model_dump(mode="json")) == config

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("ivf", "Set `library: faiss`"),
            ("flat", "Input should be 'auto', 'exact', 'hnsw' or 'ivf'"),
            ({"kind": "ivf", "library": "usearch"}, "Set `library: faiss`"),
            ({"kind": "ivf", "library": "faiss", "lists": 4, "probes": 5}, "at most `lists`"),
            ({"min_recall": 1.1}, "min_recall"),
            ({"min_recall": float("nan")}, "min_recall"),
            ({"connectivity": 1}, "connectivity"),
            ({"metric": "cosine"}, "metric"),
        ],
    )
    def test_refuses(self, content: Any, message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            IndexConfig.model_validate(content)

    def test_auto_is_exact_up_to_a_size(self) -> None:
        config = IndexConfig(exact_up_to=10)
        assert [config.kind_for(items) for items in (0, 10, 11)] == ["exact", "exact", "hnsw"]

    def test_none_but_exact_of_no_items(self) -> None:
        config = IndexConfig(kind="ivf", library="faiss")
        assert [config.kind_for(items) for items in (0, 1)] == ["exact", "ivf"]
