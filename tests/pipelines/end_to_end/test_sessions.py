"""A log of devices and events, without users: from CSV to a bundle that answers a session."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from towermill.pipelines import Bundle, load_recipe

ITEMS, DEVICES, VISITS = 24, 40, 15


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Visits that walk through the items one by one: item n is followed by n + 1."""
    rng = np.random.default_rng(2)
    rows = []
    for device in range(DEVICES):
        time = 1_700_000_000
        for _ in range(VISITS):
            time += int(rng.integers(4_000, 90_000))
            first = int(rng.integers(ITEMS))
            for step in range(int(rng.integers(1, 7))):
                time += int(rng.integers(10, 600))
                event = "view" if rng.random() < 0.7 else "cart"
                rows.append((f"d{device}", f"i{(first + step) % ITEMS}", time, event))
                if rng.random() < 0.2:  # another item, and no part of the walk
                    rows.append((f"d{device}", f"i{rng.integers(ITEMS)}", time, "remove"))
    path = tmp_path_factory.mktemp("shop") / "log.csv"
    names = ["device", "product", "at", "event"]
    pl.DataFrame(rows, names, orient="row").sample(fraction=1, shuffle=True, seed=1).sort(
        "at", maintain_order=True
    ).write_csv(path)
    return path


@pytest.fixture(scope="module")
def trained(log: Path, run_recipe: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    content = load_recipe("sessions", [f"source.interactions.path={log}"]).model_dump(
        mode="json", exclude_unset=True
    )
    content["source"]["interactions"] |= {
        **{"user_id": "device", "item_id": "product", "timestamp": "at"},
        "signals": ["event"],
    }
    content["filters"] = {"min_signal": {"event": ["view", "cart"]}}
    content["model"] |= {"embedding_dim": 16, "layers": 1}
    content["train"] = {"epochs": 30, "batch_size": 64, "learning_rate": 0.01, "patience": 0}
    content["evaluate"] |= {"k": [3]}
    return run_recipe(content, tmp_path_factory.mktemp("sessions"))


def test_the_next_item_is_learned(trained: Any) -> None:
    metrics = json.loads((trained.stages["evaluate"] / "metrics.json").read_text())["metrics"]
    assert metrics["recall@3"] > 0.8


def test_queries_are_whole_sessions(trained: Any) -> None:
    processed = pl.read_parquet(trained.stages["process"] / "test" / "*.parquet")
    assert processed["history"].list.len().min() >= 1
    assert set(processed["event"]) == {"view", "cart"}


def test_the_bundle_answers_a_session(trained: Any) -> None:
    found = Bundle.open(trained.bundle).recommend(history=["i3", "i4", "i5"], k=3)
    assert found.by == "history"
    assert found.items[0]["item_id"] == "i6"
