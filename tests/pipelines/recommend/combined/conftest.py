"""A funnel over the tiny world, in Python and as a file, and another retriever for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from towermill.pipelines.recommend.combined.funnel import Funnel, FunnelConfig

NCF = {"kind": "ncf", "embedding_dim": 8, "mlp": [8]}


@pytest.fixture(scope="package")
def ranker(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The tiny world's NCF, on the same processed data."""
    return trained.changed(tmp_path_factory.mktemp("ranker"), model=NCF)


@pytest.fixture(scope="package")
def ease(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The tiny world's EASE, which reads histories."""
    out = tmp_path_factory.mktemp("ease")
    return trained.changed(out, features={"history": True}, model={"kind": "ease"})


@pytest.fixture(scope="package")
def users(trained: Any) -> list[Any]:
    """Raw ids of the known users."""
    found: list[Any] = pl.read_parquet(trained.bundle / "user_features.parquet")[
        "raw_user_id"
    ].to_list()
    return found


@pytest.fixture(scope="package")
def funnel(trained: Any, ranker: Any) -> Funnel:
    return Funnel(FunnelConfig(retrieve=trained.bundle, rank=ranker.bundle, candidates=20))


@pytest.fixture(scope="package")
def funnel_file(trained: Any, ranker: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a file."""
    section = {"retrieve": str(trained.bundle), "rank": str(ranker.bundle), "candidates": 20}
    path = tmp_path_factory.mktemp("funnel") / "funnel.yaml"
    path.write_text(yaml.safe_dump({"funnel": section}))
    return path
