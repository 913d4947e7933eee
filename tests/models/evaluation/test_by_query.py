"""Digests of queries, and slices of a catalogue's metrics against slow ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from towermill.models.data.interactions import Processed
from towermill.models.data.lists import Lists, TopK
from towermill.models.data.queries import Queries
from towermill.models.evaluation.by_query import catalogue_slices, digests, query_digests
from towermill.models.metrics.catalogue.ranking import per_query


@pytest.fixture(scope="module")
def data(id_world: Path) -> Processed:
    found = Processed(id_world)
    known = pl.select(user_id=pl.int_range(3, 3 + 1000)).to_series()
    found.__dict__["items"] = found.items.with_columns(raw_item_id=found.items["item_id"] + 500)
    found.__dict__["users"] = pl.DataFrame({"user_id": known, "raw_user_id": known * 7})
    return found


@pytest.fixture(scope="module")
def queries(data: Processed) -> Queries:
    return data.queries("test")


class TestDigests:
    def test_are_fixed_and_of_the_text(self) -> None:
        assert digests(pl.Series(["a"])).tolist() == [13950350942979735504]
        assert digests(pl.Series([7])).tolist() == [639464881952108352]

    def test_tell_users_and_answers_apart(self, data: Processed, queries: Queries) -> None:
        found = query_digests(data, queries)
        assert len(np.unique(found)) == len(queries)
        relevant = queries.relevant
        fewer = Lists.from_pairs(relevant.rows[1:], relevant.values[1:], len(relevant))
        changed = query_digests(data, replace(queries, relevant=fewer)) != found
        assert changed.tolist() == [True] + [False] * (len(queries) - 1)

    def test_do_not_depend_on_the_order_of_queries(self, data: Processed, queries: Queries) -> None:
        order = np.arange(len(queries))[::-1].copy()
        place = np.argsort(order)
        relevant = queries.relevant
        turned = Lists.from_pairs(place[relevant.rows], relevant.values, len(relevant))
        other = replace(queries, features=queries.features[order], relevant=turned)
        assert (query_digests(data, other) == query_digests(data, queries)[order]).all()


class TestSlices:
    def test_equal_slow_ones(self, data: Processed, queries: Queries) -> None:
        rng, items = np.random.default_rng(0), data.items.height
        lists = np.array([rng.permutation(items)[:10] for _ in range(len(queries))], np.int32)
        top = TopK(lists, np.zeros(lists.shape, np.float32))
        own = per_query(top, queries.relevant, (5,), None, items)["ndcg@5"]
        values = {"": own, "other": own / 2}
        found = catalogue_slices({"": top, "other": top}, values, data, queries, 5, "ndcg@5")
        users = [name for name in found if name.startswith("user:")]
        assert sum(found[name]["queries"] for name in users) == len(queries)
        for name in users:
            assert found[name]["baselines"]["other"] == found[name]["metrics"]["ndcg@5"] / 2
        parts = [found[f"item:{name}"] for name in ("head", "middle", "tail")]
        answers = queries.relevant
        assert sum(part["answers"] for part in parts) == len(answers.values)
        hits = sum(
            value in lists[row, :5] for row, value in zip(answers.rows, answers.values, strict=True)
        )
        reached = sum(part["answers"] * part["metrics"]["recall@5"] for part in parts)
        assert reached == pytest.approx(hits)
