"""`towermill check` finds what was planted in the data, and nothing in data without faults."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import entropy
from typer.testing import CliRunner

from towermill.cli.app import app
from towermill.pipelines import validate_recipe
from towermill.pipelines.running.check.check import check
from towermill.pipelines.running.check.drift import beyond_chance
from towermill.pipelines.running.check.findings import Finding, Level

BEGIN = datetime(2026, 1, 1)
SPLIT = {"kind": "time", "validation": 0.1, "test": 0.2}


def log(rows: int = 6000, users: int = 100, items: int = 50) -> pl.DataFrame:
    """Return interactions without a fault: every user and item at all times."""
    rng = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "user_id": rng.integers(0, users, rows),
            "item_id": rng.integers(0, items, rows),
            "timestamp": [BEGIN + timedelta(minutes=n) for n in range(rows)],
            "shop": [["web", "app", "kiosk"][n] for n in rng.integers(0, 3, rows)],
        }
    )


def catalogue(items: int = 50) -> pl.DataFrame:
    return pl.DataFrame({"item_id": range(items), "price": [float(n % 7) for n in range(items)]})


def recipe(folder: Path, rows: pl.DataFrame, items: pl.DataFrame, **more: Any) -> dict[str, Any]:
    rows.write_parquet(folder / "log.parquet")
    items.write_parquet(folder / "items.parquet")
    ids = {"user_id": "user_id", "item_id": "item_id"}
    times = {"timestamp": "timestamp"} if "timestamp" in rows.columns else {}
    return {
        "name": "checked",
        "source": {
            "kind": "table",
            "interactions": {"path": str(folder / "log.parquet"), **ids, **times}
            | {"features": {"shop": "category"}},
            "items": {
                "path": str(folder / "items.parquet"),
                "item_id": "item_id",
                "features": {n: "number" for n in items.columns if n != "item_id"},
            },
        },
        "split": SPLIT,
        "model": {"kind": "two_tower"},
        **more,
    }


@pytest.fixture
def found(tmp_path: Path) -> Any:
    """Return a function of the tables to what is found, by what it is about."""

    def run(
        rows: pl.DataFrame, items: pl.DataFrame | None = None, **more: Any
    ) -> dict[str, Finding]:
        told = recipe(tmp_path, rows, catalogue() if items is None else items, **more)
        return {one.about: one for one in check(validate_recipe(told), tmp_path / "runs")}

    return run


def attention(found: dict[str, Finding]) -> dict[str, str]:
    return {about: one.level.value for about, one in found.items() if one.level is not Level.OK}


class TestPlanted:
    def test_nothing(self, found: Any) -> None:
        # Users meet items again: `repetitions` is what such a log has.
        assert attention(found(log())) == {
            "repetitions": "look",
            "validation, shared pairs": "look",
            "test, shared pairs": "look",
        }
        once = found(log(), filters={"deduplicate": "first"})
        assert not {"validation, shared pairs", "test, shared pairs"} & attention(once).keys()

    def test_twice_the_same_export(self, found: Any) -> None:
        one = found(pl.concat([log(), log()]))["duplicates"]
        assert (one.level, one.found[:5]) == (Level.ALARM, "50.0%")

    def test_a_table_that_hardly_joins(self, found: Any) -> None:
        assert attention(found(log(), catalogue(30)))["table items"] == "look"

    def test_new_users_at_the_end(self, found: Any) -> None:
        late = pl.col("timestamp") > BEGIN + timedelta(minutes=5000)
        user = pl.when(late).then(pl.col("user_id") + 1000).otherwise(pl.col("user_id"))
        rows = log().with_columns(user.alias("user_id"))
        assert attention(found(rows))["test, new users"] == "alarm"
        assert found(rows)["test, new users"].found.startswith("83")

    def test_training_after_test(self, found: Any) -> None:
        random = found(log(), split={**SPLIT, "kind": "random"})
        assert random["time"].level is Level.LOOK
        assert found(log())["time"].level is Level.OK

    def test_a_filter_that_drops_most_rows(self, found: Any) -> None:
        rows = log(3000, users=900)
        one = found(rows, filters={"min_user": 5})["rows"]
        assert one.level is Level.ALARM

    def test_columns(self, found: Any) -> None:
        items = catalogue().with_columns(
            pl.when(pl.col("item_id") < 20).then("price").alias("rebate"),
            pl.lit(1.0).alias("currency"),
        )
        one = found(log(), items)
        assert one["items.rebate"].found.startswith("60.0% null")
        assert one["items.currency"].found == "one value only"
        assert [one[f"items.{n}"].level.value for n in ("rebate", "currency", "price")] == [
            *("look", "look", "ok")
        ]

    def test_drift(self, found: Any) -> None:
        late = pl.col("timestamp") > BEGIN + timedelta(minutes=4500)
        shop = pl.when(late & (pl.col("shop") == "web")).then(pl.lit("app")).otherwise("shop")
        drifted = found(log().with_columns(shop.alias("shop")))["drift of context shop"]
        assert drifted.level is Level.ALARM
        assert found(log())["drift of context shop"].level is Level.OK


class TestCommand:
    def test_code_and_json(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        told = recipe(tmp_path, pl.concat([log(), log()]), catalogue())
        Path("r.yaml").write_text(json.dumps(told))
        result = CliRunner().invoke(app, ["check", "r.yaml", "--json"])
        assert result.exit_code == 1
        levels = [one["level"] for one in json.loads(result.stdout)]
        order = [level.value for level in Level]
        assert levels == sorted(levels, key=order.index)
        assert levels[0] == "alarm"
        shown = CliRunner().invoke(app, ["check", "r.yaml"]).stdout
        assert shown.startswith("alarm")
        assert "rows repeat a user, an item and a time" in shown


class TestDistance:
    def test_without_chance_it_is_the_formula(self) -> None:
        train, test = np.array([700_000, 200_000, 100_000]), np.array([300_000, 300_000, 400_000])
        p, q = train / train.sum(), test / test.sum()
        middle = (p + q) / 2
        divergence = (entropy(p, middle, base=2) + entropy(q, middle, base=2)) / 2
        assert beyond_chance(train, test) == pytest.approx(divergence**0.5, abs=1e-4)

    def test_samples_of_one_distribution_do_not_differ(self) -> None:
        rng = np.random.default_rng(1)
        share = rng.dirichlet(np.ones(30))
        distances = [
            beyond_chance(rng.multinomial(2000, share), rng.multinomial(400, share))
            for _ in range(200)
        ]
        assert max(distances) < 0.1
