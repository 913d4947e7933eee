"""Comparisons of runs: recipes, metrics, paired differences, terminal and page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from towermill.errors import DataError
from towermill.pipelines.running.finished.compare import Comparison, compare
from towermill.pipelines.running.finished.run_files import RunFiles


@pytest.fixture(scope="module")
def other(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The trained run with one epoch instead of two."""
    return trained.changed(tmp_path_factory.mktemp("other"), train={"epochs": 1})


@pytest.fixture(scope="module")
def found(trained: Any, other: Any) -> Comparison:
    return compare([RunFiles.of(trained.latest), RunFiles.of(other.latest)])


class TestCompare:
    def test_recipes(self, found: Comparison) -> None:
        assert found.recipes == {"train.epochs": [2, 1]}

    def test_names_tell_runs_of_one_recipe_apart(self, found: Comparison) -> None:
        assert len(found.runs) == 2
        assert all(name.startswith("tiny ") for name in found.runs)

    def test_differences_are_those_of_the_means(self, found: Comparison) -> None:
        assert next(iter(found.metrics)) == found.deciding == "ndcg@5"
        (paired,) = found.paired.values()
        assert paired is not None
        assert paired.of == (paired.queries, paired.queries)
        for name, difference in paired.differences.items():
            first, second = found.metrics[name]
            assert difference == pytest.approx(second - first, abs=1e-6)  # type: ignore[operator]
            low, high = paired.intervals[name]
            assert low - 1e-9 <= difference <= high + 1e-9

    def test_only_common_queries_are_paired(self, trained: Any, tmp_path: Path, other: Any) -> None:
        half = other.changed(tmp_path)
        file = (half.latest / "evaluate").resolve() / "queries.parquet"
        table = pl.read_parquet(file)
        table[::2].write_parquet(file)
        (paired,) = compare([RunFiles.of(trained.latest), RunFiles.of(half.latest)]).paired.values()
        assert paired is not None
        assert paired.queries == len(table[::2])
        table.with_columns(query=pl.col("query") ^ pl.lit(1, pl.UInt64)).write_parquet(file)
        (none,) = compare([RunFiles.of(trained.latest), RunFiles.of(half.latest)]).paired.values()
        assert none is None

    def test_a_run_with_itself(self, trained: Any) -> None:
        run = RunFiles.of(trained.latest)
        with pytest.raises(DataError, match="at least two different runs"):
            compare([run, run])

    def test_impressions_are_not_paired_with_a_catalogue(self, trained: Any, news: Any) -> None:
        found = compare([RunFiles.of(news.latest), RunFiles.of(trained.latest)])
        assert found.deciding == "auc"
        assert found.metrics["auc"][1] is None
        assert list(found.paired.values()) == [None]


class TestCommand:
    def test_prints_recipes_first_and_writes_a_page(
        self, trained: Any, other: Any, cli: Any, tmp_path: Path
    ) -> None:
        page = tmp_path / "compare.html"
        said = cli("compare", trained.latest, other.latest, "--html", page)
        assert said.code == 0, said.err
        assert said.out.index("train.epochs") < said.out.index("ndcg@5")
        text = page.read_text()
        assert "<code>train.epochs</code>" in text
        assert "Paired difference of ndcg@5" in text
        assert "src=" not in text

    def test_json(self, trained: Any, other: Any, cli: Any) -> None:
        found = json.loads(cli("compare", trained.latest, other.latest, "--json").out)
        (paired,) = found["paired"].values()
        assert np.isfinite(paired["differences"]["recall@10"])

    def test_of_no_run(self, trained: Any, cli: Any, tmp_path: Path) -> None:
        said = cli("compare", trained.latest, tmp_path)
        assert said.code == 2
        assert "Expected a finished run" in said.err
