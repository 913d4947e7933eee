"""Every kind of split: no row is lost, doubled, or known to training before its time."""

from __future__ import annotations

import itertools
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from towermill.errors import DataError
from towermill.workflows.selecting.split import Split, Splits, split

FEW = settings(max_examples=60, deadline=None, derandomize=True)
START = datetime(2024, 1, 1)
HELD_OUT = ("validation", "test")

_share = st.sampled_from([0.01, 0.1, 0.25, 0.4])
_validation = st.sampled_from([0.0, 0.1, 0.29, 0.4])
_cold = st.sampled_from(["drop", "keep", "flag"])
configs = st.one_of(
    st.builds(dict, kind=st.just("time"), validation=_validation, test=_share, cold=_cold),
    st.builds(dict, kind=st.just("leave_one_out"), validation=_validation, cold=_cold),
    st.builds(
        dict,
        kind=st.just("random"),
        by=st.sampled_from(["row", "user"]),
        validation=_validation,
        test=_share,
        seed=st.integers(0, 2**63 - 1),
        cold=_cold,
    ),
    st.builds(dict, kind=st.just("given"), cold=_cold),
)
#: User (or none), item, day, rating, split.
rows = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(0, 4)),
        st.integers(0, 5),
        st.integers(0, 12),
        st.integers(1, 5),
        st.sampled_from(["train", "train", "dev", "test"]),
    ),
    min_size=2,
    max_size=40,
)


def make(drawn: list[Any]) -> pl.DataFrame:
    types = {"user_id": pl.Int64, "item_id": pl.Int64, "day": pl.Int64, "rating": pl.Int64}
    frame = pl.DataFrame(drawn, {**types, "split": pl.String}, orient="row")
    times = [START + timedelta(days=day) for day in frame["day"].to_list()]
    return frame.with_columns(pl.Series("timestamp", times, pl.Datetime("us"))).with_row_index(
        "row"
    )


def run(frame: pl.DataFrame, config: dict[str, Any]) -> tuple[dict[str, pl.DataFrame], Splits]:
    """Return the splits; none where one would be empty, which is refused."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            found = split(frame.lazy(), Split(**config), Path(scratch))
        except DataError as error:
            if "should leave rows in each split" not in str(error):
                raise
            return {}, Splits({}, {})
        return {name: part.collect() for name, part in found.parts.items()}, found


class TestEveryKind:
    @given(rows, configs)
    @FEW
    def test_no_row_is_lost_or_doubled(self, drawn: list[Any], config: dict[str, Any]) -> None:
        frame = make(drawn)
        parts, found = run(frame, {**config, "cold": "keep"})
        if parts:
            together = [row for part in parts.values() for row in part["row"].to_list()]
            assert sorted(together) == list(range(frame.height))
            assert found.dropped == {}
        for part in parts.values():
            assert part["row"].is_sorted()  # in the order of the source
            same = frame.drop("split") if config["kind"] == "given" else frame
            assert part.equals(same[part["row"].to_list()])

    @given(rows, configs, st.sampled_from([{}, {"rating": 3}]))
    @FEW
    def test_what_is_dropped_is_cold_or_no_answer_and_counted(
        self, drawn: list[Any], config: dict[str, Any], least: dict[str, float]
    ) -> None:
        frame, config = make(drawn), {**config, "min_signal": least}
        parts, found = run(frame, config)
        kept, _ = run(frame, {**config, "cold": "keep", "min_signal": {}})
        if not parts:
            return
        users, items = (set(parts["train"][c].drop_nulls()) for c in ("user_id", "item_id"))
        assert parts["train"].equals(kept["train"])
        for name, part in parts.items():
            counts, lost = found.counts[name], sum(found.dropped.get(name, {}).values())
            assert (counts.rows, counts.users) == (part.height, part["user_id"].n_unique())
            assert counts.assigned_rows == part.height + lost == kept[name].height
            if name == "train":
                assert lost == 0
                continue
            warm = pl.col("user_id").is_in(users) & pl.col("item_id").is_in(items)
            warm = warm.fill_null(False)
            assert counts.cold_users + counts.cold_items == kept[name].filter(~warm).height
            expected = kept[name].filter(pl.col("rating") >= 3) if least else kept[name]
            if config["cold"] == "drop":
                expected = expected.filter(warm)
            assert part["row"].to_list() == expected["row"].to_list()
            if config["cold"] == "flag":
                flags = part.select(~(pl.col("cold_user") | pl.col("cold_item"))).to_series()
                assert flags.to_list() == part.select(warm).to_series().to_list()

    @given(rows, configs)
    @FEW
    def test_same_again(self, drawn: list[Any], config: dict[str, Any]) -> None:
        frame = make(drawn)
        one, other = run(frame, config)[0], run(frame, config)[0]
        assert one.keys() == other.keys()
        assert all(one[name].equals(other[name]) for name in one)


class TestLeaks:
    @given(rows, _validation, _share)
    @FEW
    def test_time(self, drawn: list[Any], validation: float, test: float) -> None:
        """No training row is as late as a row that is held out."""
        config = {"kind": "time", "validation": validation, "test": test, "cold": "keep"}
        parts, _ = run(make(drawn), config)
        ordered = [parts[name]["timestamp"] for name in ("train", *HELD_OUT) if name in parts]
        for earlier, later in itertools.pairwise(ordered):
            assert earlier.max() < later.min()  # type: ignore[operator]

    @given(rows, st.booleans())
    @example([(1, 0, 5, 1, "train")] * 4, True)
    @FEW
    def test_leave_one_out(self, drawn: list[Any], validation: bool) -> None:
        """A user's held-out rows are the last ones, one in each split."""
        config = {"kind": "leave_one_out", "validation": 0.1 * validation, "cold": "keep"}
        parts, _ = run(make(drawn), config)
        if not parts:
            return
        order = ["timestamp", "row"]
        for (user,), own in make(drawn).group_by("user_id"):
            ranked = own.sort(order)["row"].to_list()
            held_out = len(parts) - 1 if len(ranked) >= 3 else 0
            found = {
                name: part.filter(pl.col("user_id").eq_missing(user))["row"].to_list()
                for name, part in parts.items()
            }
            assert found["train"] == sorted(ranked[: len(ranked) - held_out])
            if held_out:
                assert found["test"] == ranked[-1:]
                assert found.get("validation", ranked[-2:-1]) == ranked[-2:-1]

    @given(rows, _validation, _share, st.integers(0, 9))
    @FEW
    def test_random(self, drawn: list[Any], validation: float, test: float, seed: int) -> None:
        """Shares of all rows are exact; of each user's, training keeps a row."""
        frame = make(drawn)
        shares = {"validation": validation, "test": test, "seed": seed, "cold": "keep"}
        parts, _ = run(frame, {"kind": "random", **shares})
        for name in parts.keys() - {"train"}:
            share = test if name == "test" else validation
            assert parts[name].height == int(share * frame.height + 1e-9)
        parts, _ = run(frame, {"kind": "random", "by": "user", **shares})
        if parts:
            assert set(parts["train"]["user_id"]) == set(frame["user_id"])
