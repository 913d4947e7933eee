"""The benchmarks of NRMS, on tiny data: they run, go on where they were, and add up."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
def test_measures_both_sides_and_goes_on(tmp_path: Path) -> None:
    command = (
        *(BENCHMARKS / "nrms.py", "--small", "--repeat", 1, "--rows", 128, "--impressions", 20),
        *("--auc", "--auc-rows", 128, "--auc-epochs", 1, "--auc-impressions", 20, "--seeds", 0),
        *("--batch-size", 64, "--work", tmp_path / "work", "--json", tmp_path / "found.json"),
        *("--world-users", 50, "--world-articles", 200, "--world-impressions", 200),
    )
    done = _run(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    plain, ours = found["speed"]["runs"]  # a batch size named twice is one line
    assert (plain["side"], ours["side"]) == ("plain", "ours")
    assert plain["rows"] == ours["rows"] == 128
    assert plain["entries"] == ours["entries"] > 20
    for row in found["speed"]["medians"]:
        assert row["rows_per_second"] > 0
        assert row["impressions_per_second"] > 0
        assert row["peak_bytes"] > 1 << 27
    times = found["speed"]["medians"][1]["times_plain"]["rows_per_second"]
    assert times == pytest.approx(ours["rows_per_second"] / plain["rows_per_second"])
    auc = found["auc"]
    assert auc["difference"] == auc["means"]["ours"] - auc["means"]["plain"]
    assert auc["standard_error"] is None
    assert "AUC, plain" in done.stdout

    again = _run(*command)
    assert "batches of" not in again.stderr  # nothing was run
    assert json.loads((tmp_path / "found.json").read_text())["speed"] == found["speed"]


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Two readers, four articles; the truth puts the click first in one of two impressions."""
    folder = tmp_path / "world"
    (folder / "validation").mkdir(parents=True)
    shown = [[1, 2], [3, 1, 4]]
    pl.DataFrame(
        {
            "impression_id": [7, 8],
            "article_ids_inview": shown,
            "article_ids_clicked": [[2], [1]],
        }
    ).write_parquet(folder / "validation" / "behaviors.parquet")
    pl.DataFrame(
        {
            "impression_id": [8, 7],
            "article_ids_inview": shown[::-1],
            "scores": [[0.5, 0.2, 0.1], [0.0, 1.0]],
        }
    ).write_parquet(folder / "oracle.parquet")
    return folder


class TestNewsWorld:
    @pytest.fixture
    def news_world(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.syspath_prepend(BENCHMARKS)
        return importlib.import_module("news_world")

    def test_joins_the_truth_by_impression(self, news_world: Any, world: Path) -> None:
        assert news_world.oracle_auc(world) == {"auc": (1 + 0.5) / 2, "impressions": 2}

    def test_refuses_the_truth_of_another_world(self, news_world: Any, world: Path) -> None:
        truth = pl.read_parquet(world / "oracle.parquet")
        truth.with_columns(article_ids_inview=pl.Series([[3, 1, 5], [1, 2]])).write_parquet(
            world / "oracle.parquet"
        )
        with pytest.raises(SystemExit, match="not of the impressions"):
            news_world.oracle_auc(world)

    @pytest.mark.slow
    def test_tells_the_share_of_the_way(self, tmp_path: Path) -> None:
        folder = _made_world(tmp_path / "made")
        recipe = tmp_path / "tiny.yaml"
        recipe.write_text(
            "source: {kind: ebnerd, path: nowhere}\n"
            "split: {kind: given}\n"
            "text: {title_size: 5, word_dim: 8}\n"
            "model: {kind: nrms, heads: 2, head_dim: 4, attention_dim: 8}\n"
            "train: {epochs: 5, batch_size: 32}\n"
        )
        done = _run(
            *(BENCHMARKS / "news_world.py", folder, "--recipe", recipe, "--set", "train.epochs=1"),
            *("--out", tmp_path / "runs", "--json", tmp_path / "found.json"),
        )
        assert done.returncode == 0, done.stdout + done.stderr
        found = json.loads((tmp_path / "found.json").read_text())
        (run,) = found["runs"]
        assert run["epochs"] == 1
        assert run["share"] == (run["auc"] - 0.5) / (found["oracle"]["auc"] - 0.5)
        assert run["popularity"] is not None
        assert run["minutes"] > 0
        assert "of the way" in done.stdout


def _made_world(folder: Path) -> Path:
    """Write 20 articles and 60 impressions a part, of which the oracle knows each click."""
    rng = np.random.default_rng(0)
    start = np.datetime64("2023-05-01T00:00:00", "us")
    folder.mkdir()
    ids = np.arange(100, 120, dtype=np.int32)
    pl.DataFrame(
        {
            "article_id": ids,
            "title": [f"word{i % 4} word{i % 5}" for i in range(20)],
            "published_time": np.full(20, start),
            "category": (ids % 3).astype(np.int16),
        }
    ).write_parquet(folder / "articles.parquet")
    truth = []
    for part, first in (("train", 0), ("validation", 7)):
        shown = [rng.choice(ids, 4, replace=False).tolist() for _ in range(60)]
        days = first + np.sort(rng.random(60)) * 7
        (folder / part).mkdir()
        pl.DataFrame(
            {
                "impression_id": np.arange(60, dtype=np.uint32) + 60 * first,
                "user_id": rng.integers(1, 9, 60).astype(np.uint32),
                "impression_time": start + (days * 86_400e6).astype("timedelta64[us]"),
                "article_ids_inview": shown,
                "article_ids_clicked": [row[:1] for row in shown],
            }
        ).write_parquet(folder / part / "behaviors.parquet")
        pl.DataFrame(
            {
                "user_id": np.arange(1, 9, dtype=np.uint32),
                "article_id_fixed": [rng.choice(ids, 3).tolist() for _ in range(8)],
                "impression_time_fixed": [[start.item()] * 3] * 8,
            }
        ).write_parquet(folder / part / "history.parquet")
        truth = shown
    pl.DataFrame(
        {
            "impression_id": np.arange(60, dtype=np.uint32) + 420,
            "article_ids_inview": truth,
            "scores": [[1.0, 0.3, 0.2, 0.1]] * 60,
        }
    ).write_parquet(folder / "oracle.parquet")
    return folder
