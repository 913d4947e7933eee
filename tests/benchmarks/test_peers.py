"""The comparison with other libraries: its metric and lists, on toys, without installing any."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TRAIN = pl.DataFrame({"user": [1, 1, 2, 2], "item": [10, 20, 20, 30], "timestamp": [1, 2, 3, 4]})


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("peers")


def test_measures_lists(peers: Any) -> None:
    held = pl.DataFrame({"user": [1, 2, 2, 3], "item": [30, 10, 99, 10]})  # 99 and 3 are unknown
    lists = pl.DataFrame({"user": [1, 2], "item": [30, 10], "rank": [1, 2]})
    found = peers.measure(lists, held, TRAIN, TRAIN)
    assert found["users"] == 2
    assert found["recall@10"] == 1
    assert found["ndcg@10"] == pytest.approx((1 + 1 / np.log2(3)) / 2)
    assert found["coverage@10"] == pytest.approx(2 / 3)
    assert found["short"] == 0


@pytest.mark.parametrize(("item", "said"), [(10, "has in the history"), (99, "of the training")])
def test_refuses_items_that_may_not_be_listed(peers: Any, item: int, said: str) -> None:
    held = pl.DataFrame({"user": [1], "item": [30]})
    lists = pl.DataFrame({"user": [1], "item": [item], "rank": [1]})
    with pytest.raises(ValueError, match=said):
        peers.measure(lists, held, TRAIN, TRAIN)


@pytest.mark.parametrize("scores", [True, False], ids=["scores", "lists"])
def test_a_script_writes_lists_without_seen_items(
    scores: bool, peers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = importlib.import_module("parts.peers.fits.harness")
    validation = pl.DataFrame({"user": [1], "item": [30], "timestamp": [5]})
    for name, rows in {"train": TRAIN, "validation": validation}.items():
        rows.write_parquet(tmp_path / f"{name}.parquet")
    order = np.tile([2, 1, 0], (2, 1))  # best first: 30, 20, 10

    def fit(train: Any, seed: int, dim: int) -> Any:
        assert (train.users, train.items, seed, dim) == (2, 3, 7, 4)
        return lambda history: np.tile([0.1, 0.2, 0.3], (2, 1)) if scores else order

    arguments = [str(tmp_path), str(tmp_path / "out"), "--setting", '{"dim": 4}', "--seed", "7"]
    (tmp_path / "out").mkdir()
    monkeypatch.setattr("sys.argv", ["script", *arguments])
    harness.peer(fit)
    written = {name: pl.read_parquet(tmp_path / "out" / f"{name}.parquet") for name in SPLITS}
    assert written["validation"].select("user", "item").rows() == [(1, 30), (2, 10)]
    assert written["test"].select("user", "item").rows() == [(2, 10)]
    assert json.loads((tmp_path / "out" / "fit.json").read_text())["seconds"] >= 0
    held = pl.DataFrame({"user": [1], "item": [30]})
    assert peers.measure(written["validation"], held, TRAIN, TRAIN)["ndcg@10"] == 1


SPLITS = ("validation", "test")
