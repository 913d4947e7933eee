"""Text signals: which rows are trained on and evaluated, and what passes on."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import polars as pl
import pytest
from merlin.io import Dataset

from towermill.errors import DataError
from towermill.workflows.graph.workflow import Workflow


@pytest.fixture
def events(interactions: pl.DataFrame) -> pl.DataFrame:
    """Training: view, cart, view, buy, null; test: buy, view."""
    return interactions.with_columns(
        event=pl.Series(["view", "cart", "view", "buy", None, "buy", "view"])
    )


class TestPositive:
    def test_rows_with_one_of_the_values(self, mill: Any, events: Any) -> None:
        made = mill(events, positive={"event": ["cart", "buy"]})
        assert made.train.select("user_id", "item_id", "event").rows() == [
            (4, 4, "cart"),
            (3, 5, "buy"),
        ]
        assert made.test["event"].to_list() == ["buy"]

    def test_all_rows_count_for_vocabularies(self, mill: Any, events: Any) -> None:
        made = mill(events, positive={"event": ["buy"]})
        assert made.items["raw_item_id"].to_list() == [10, 20, 30]
        assert made.items["train_count"].to_list() == [3, 1, 1]
        dropped = made.stats["summary"]["dropped"]["train"]
        assert dropped == {"left out by `features.positive`": 4}

    def test_the_saved_workflow_keeps_the_same_rows(self, mill: Any, events: Any) -> None:
        made = mill(events, positive={"event": ["cart", "buy"]})
        workflow = Workflow.load(made.path / "workflow")
        frame = events.filter(pl.col("split") == "train").drop("split").to_pandas()
        again = workflow.transform(Dataset(frame, cpu=True)).to_ddf().compute()
        assert again["item_id"].tolist() == made.train["item_id"].to_list()
        json.loads((made.path / "workflow" / "state.json").read_text())

    @pytest.mark.parametrize("key", ["positive", "filters", "split"])
    def test_a_value_that_never_occurs(self, mill: Any, events: Any, key: str) -> None:
        wanted: Any = {"event": ["purchase"]}
        wanted = {key: wanted if key == "positive" else {"min_signal": wanted}}
        with pytest.raises(DataError, match=r"lists purchase of 'event'.*view, buy, cart"):
            mill(events, **wanted)

    def test_a_minimum_of_text(self, mill: Any, events: Any) -> None:
        with pytest.raises(DataError, match=r"`features\.positive: .event: 1.`.*holds text"):
            mill(events, positive={"event": 1})

    def test_a_continued_run_need_not_have_every_value(self, mill: Any, events: Any) -> None:
        first = mill(events, positive={"event": ["cart", "buy"]})
        later = events.filter(pl.col("event").ne_missing("cart"))
        made = mill(later, positive={"event": ["cart", "buy"]}, out="later", earlier=first)
        assert made.train["event"].to_list() == ["buy"]


class TestOtherKeys:
    def test_filters(self, mill: Any, events: Any) -> None:
        made = mill(events, filters={"min_signal": {"event": ["view", "buy"]}})
        assert made.train["event"].to_list() == ["view", "view", "buy"]
        assert made.stats["summary"]["dropped"]["filters"] == {
            "min_signal: {event: [view, buy]}": 2
        }

    def test_answers(self, mill: Any, events: Any) -> None:
        made = mill(events, split={"min_signal": {"event": ["buy"]}})
        assert made.train.height == 5
        assert made.test["event"].to_list() == ["buy"]


class TestWeights:
    WEIGHTS: ClassVar[dict[str, Any]] = {"event": {"cart": 3, "buy": 5}}

    def test_rows_have_those_of_their_events(self, mill: Any, events: Any) -> None:
        made = mill(events, weights=self.WEIGHTS)
        by_event = dict(made.train.select("event", "event_weight").rows())
        assert by_event == {"view": 1.0, "cart": 3.0, "buy": 5.0, None: 1.0}
        assert made.train["event_weight"].dtype == pl.Float32

    def test_lists_of_training_items_have_them(self, mill: Any, events: Any) -> None:
        made = mill(events, weights=self.WEIGHTS, history=True)
        lists = pl.read_parquet(made.path / "sequences.parquet")
        rows = lists.select("user_id", "train", "event_weight").explode("train", "event_weight")
        train = made.train.filter(pl.col("user_id") >= 3, pl.col("item_id") >= 3)
        expected = train.select("user_id", pl.col("item_id").alias("train"), "event_weight")
        columns = ["user_id", "train", "event_weight"]
        assert rows.drop_nulls().sort(columns).equals(expected.sort(columns))

    def test_a_value_that_never_occurs(self, mill: Any, events: Any) -> None:
        with pytest.raises(DataError, match=r"`features.weights` lists purchase of 'event'"):
            mill(events, weights={"event": {"purchase": 2}})
