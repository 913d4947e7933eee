"""Interleaving: quotas, order, overlap, and lists that run short."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from towermill.pipelines.recommend.interleave import interleave

A, B = list("abcdefg"), list("vwxyz")


def shown(*arguments: Any, **options: Any) -> str:
    return "".join(item for item, _ in interleave(*arguments, **options))


class TestInterleave:
    @pytest.mark.parametrize(
        ("rule", "expected"), [("in_order", "abvwx"), ("round_robin", "avbwx")]
    )
    def test_quotas(self, rule: Any, expected: str) -> None:
        assert shown([A, B], [2, 3], 5, rule) == expected

    def test_sources_are_told(self) -> None:
        assert interleave([A, B], [1, 1], 2) == [("a", 0), ("v", 1)]

    def test_overlap_is_distinct_and_quotas_hold(self) -> None:
        assert interleave([list("abc"), list("abcde")], [2, 3], 5) == [
            *(("a", 0), ("b", 0)),
            *(("c", 1), ("d", 1), ("e", 1)),
        ]

    @pytest.mark.parametrize("rule", ["in_order", "round_robin", "team_draft"])
    def test_topped_up_where_one_runs_short(self, rule: Any) -> None:
        assert sorted(shown([A, ["v"]], [2, 3], 5, rule)) == list("abcdv")
        assert sorted(shown([["a"], B], [2, 3], 5, rule)) == list("avwxy")

    @pytest.mark.parametrize("rule", ["in_order", "round_robin", "team_draft"])
    def test_shorter_where_all_run_short(self, rule: Any) -> None:
        assert sorted(shown([["a"], ["a", "v"]], [2, 3], 5, rule)) == list("av")
        assert interleave([[], []], [1, 1], 5, rule) == []

    def test_more_places_than_quotas(self) -> None:
        assert shown([A, B], [1, 2], 7) == "avwbxyc"

    def test_fewer_places_than_quotas(self) -> None:
        assert shown([A, B], [2, 3], 1) == "a"

    def test_team_draft_gives_each_the_first_place_as_often(self) -> None:
        rng = np.random.default_rng(0)
        first = [interleave([A, B], [1, 1], 2, "team_draft", rng)[0][1] for _ in range(400)]
        assert 0.4 < np.mean(first) < 0.6
        assert set(shown([A, B], [1, 1], 2, "team_draft", rng=rng)) == {"a", "v"}
