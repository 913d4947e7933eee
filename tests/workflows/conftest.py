"""Tiny tables, processed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from towermill.workflows.config import FeatureConfig
from towermill.workflows.process.interactions import Interactions
from towermill.workflows.process.process import process
from towermill.workflows.selecting.filters import Filters
from towermill.workflows.selecting.split import Split
from towermill.workflows.tables import Tables


@dataclass(frozen=True)
class Mill:
    """What `process` wrote, read back."""

    path: Path

    def split(self, name: str) -> pl.DataFrame:
        return pl.read_parquet(self.path / name / "*.parquet")

    @property
    def train(self) -> pl.DataFrame:
        return self.split("train")

    @property
    def test(self) -> pl.DataFrame:
        return self.split("test")

    @property
    def users(self) -> pl.DataFrame:
        return pl.read_parquet(self.path / "users.parquet")

    @property
    def items(self) -> pl.DataFrame:
        return pl.read_parquet(self.path / "items.parquet")

    @property
    def stats(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.path / "stats.json").read_text())
        return content


def _milled(
    folder: Path,
    interactions: pl.DataFrame,
    features: dict[str, Any] | None = None,
    *,
    items: pl.DataFrame | None = None,
    users: pl.DataFrame | None = None,
    filters: dict[str, Any] | None = None,
    split: dict[str, Any] | None = None,
    out: str = "out",
    earlier: Mill | None = None,
    share: float = 0.0,
    **config: Any,
) -> Mill:
    tables = Tables(
        interactions.lazy(),
        None if items is None else items.lazy(),
        None if users is None else users.lazy(),
    )
    (folder / out).mkdir()
    events = Interactions(
        tables,
        split=Split(**{"kind": "given", "cold": "keep", **(split or {})}),
        features=FeatureConfig.model_validate({**(features or {}), **config}),
        filters=Filters(**filters or {}),
    )
    process(events, folder / out, None if earlier is None else earlier.path, share)
    return Mill(folder / out)


@pytest.fixture
def mill(tmp_path: Path) -> Callable[..., Mill]:
    """Process tables split by their own column ``split``, cold rows kept unless said otherwise."""
    return partial(_milled, tmp_path)


@pytest.fixture(scope="module")
def shared_mill(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Mill]:
    """The same, for what several tests look at."""
    return partial(_milled, tmp_path_factory.mktemp("mill"))


@pytest.fixture
def interactions() -> pl.DataFrame:
    """Five training rows: u2 thrice, u1 twice; item 10 thrice. Two test rows, cold in part."""
    return pl.DataFrame(
        {
            "user_id": ["u1", "u1", "u2", "u2", "u2", "u3", "u9"],
            "item_id": [10, 20, 10, 30, 10, 20, 99],
            "split": ["train"] * 5 + ["test"] * 2,
        }
    )


@pytest.fixture
def items() -> pl.DataFrame:
    """Items 10, 20, 30, and 40, which nobody met; 99 has no row."""
    return pl.DataFrame(
        {
            "item_id": [10, 20, 30, 40],
            "genre": ["x", "y", "x", "z"],
            "tags": [["a", "b"], ["b"], [], None],
            "text_tags": ["a|b", "b", "", None],
            "price": [1.0, None, 3.0, 9.0],
            "year": [1, 2, None, 4],
            "title": ["Ten", "Twenty", "Thirty", "Forty"],
        }
    )


@pytest.fixture
def users() -> pl.DataFrame:
    """Users u1 and u2 and the test split's u3; u9 has no row."""
    return pl.DataFrame(
        {
            "user_id": ["u1", "u2", "u3"],
            "likes": [["x", "q"], None, ["y"]],
            "segment": [1, None, 2],
        }
    )
