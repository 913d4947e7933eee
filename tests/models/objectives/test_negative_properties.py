"""A negative is never a positive where it must not be."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st
from merlin.schema import Tags
from news_worlds import articles, impressions, write_impressions
from worlds import write_processed

from towermill.columns import FIRST_ID
from towermill.models.data.batches.slate import SlateBatches
from towermill.models.data.impressions import ImpressionData
from towermill.models.data.interactions import Processed
from towermill.models.objectives.known_pairs import KnownPairs
from towermill.models.objectives.pair_losses import SampledLoss

FEW = settings(max_examples=30, deadline=None, derandomize=True)
USERS, ITEMS = 4, 5

_user = st.integers(2, FIRST_ID + USERS - 1)
_item = st.integers(1, FIRST_ID + ITEMS - 1)


def processed(folder: Path, pairs: list[tuple[int, int]]) -> Processed:
    ids = {"user_id": pl.Int32, "item_id": pl.Int32}
    train = pl.DataFrame(pairs, schema=ids, orient="row")
    items = pl.DataFrame({"item_id": range(FIRST_ID, FIRST_ID + ITEMS)}, {"item_id": pl.Int32})
    sides = {"user_id": Tags.USER, "item_id": Tags.ITEM}
    return Processed(write_processed(folder, {"train": train}, items, sides))


class TestKnownPairs:
    @given(st.lists(st.tuples(_user, _item), min_size=1, max_size=12))
    @example([(FIRST_ID + USERS - 1, FIRST_ID + ITEMS - 1)])
    @FEW
    def test_all_pairs(self, pairs: list[tuple[int, int]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            known = KnownPairs(processed(Path(folder), pairs))
            users, items = tf.range(FIRST_ID + USERS), tf.range(FIRST_ID + ITEMS)
            found = known(users[:, None], items[None]).numpy()
        expected = {pair for pair in pairs if min(pair) >= FIRST_ID}
        assert {(int(u), int(i)) for u, i in np.argwhere(found)} == expected


class _Logits:
    """As a ranker's model, with one free logit a pair."""

    losses = ()

    def __init__(self, table: tf.Variable) -> None:
        self.table, self.draws = table, None

    def __call__(self, batch: dict[str, tf.Tensor], training: bool) -> tf.Tensor:
        return tf.gather_nd(self.table, tf.stack([batch["user_id"], batch["item_id"]], axis=1))


class TestSampledLoss:
    @given(
        st.lists(
            st.tuples(
                st.integers(FIRST_ID, FIRST_ID + USERS - 1),
                st.integers(FIRST_ID, FIRST_ID + ITEMS - 1),
            ),
            min_size=1,
            max_size=12,
        ),
        st.integers(0, 2**31 - 1),
    )
    @FEW
    def test_no_training_pair_is_pushed_down(self, pairs: list[Any], seed: int) -> None:
        """A logit of its own for each pair: its gradient is positive where it is a negative."""
        table = tf.Variable(tf.zeros([FIRST_ID + USERS, FIRST_ID + ITEMS]))
        with tempfile.TemporaryDirectory() as folder:
            data = processed(Path(folder), pairs)
            schemas = data.query_schema, data.item_schema
            loss = SampledLoss(_Logits(table), data, *schemas, 8, seed)
            batch = {
                "user_id": tf.constant([u for u, _ in pairs], tf.int32),
                "item_id": tf.constant([i for _, i in pairs], tf.int32),
            }
            with tf.GradientTape() as tape:
                value = loss(batch)
        gradient = tf.convert_to_tensor(tape.gradient(value, table)).numpy()
        for user, item in set(pairs):
            assert gradient[user, item] < 0
        drawn = {(int(u), int(i)) for u, i in np.argwhere(gradient > 0)}
        assert not drawn & set(pairs)
        assert all(u >= FIRST_ID and i >= FIRST_ID for u, i in drawn)


#: What an impression shows, each with whether it was clicked.
_shown = st.lists(
    st.tuples(st.integers(3, 9), st.booleans()), max_size=6, unique_by=lambda entry: entry[0]
)


class TestSlates:
    @given(
        st.lists(_shown, min_size=1, max_size=5),
        st.booleans(),
        st.integers(1, 5),
        st.integers(0, 9),
    )
    @FEW
    def test_negatives_were_shown_and_not_clicked(
        self, slates: list[Any], replacement: bool, npratio: int, seed: int
    ) -> None:
        usable = [s for s in slates if {label for _, label in s} == {True, False}]
        if not usable:
            return
        rows = [
            (3, i + 1, 0, [item for item, _ in shown], [item for item, label in shown if label])
            for i, shown in enumerate(slates)
        ]
        with tempfile.TemporaryDirectory() as folder:
            items = articles([[3]] * 7)
            data = ImpressionData(
                write_impressions(
                    Path(folder), {"train": impressions(rows)}, items, [[3]] * len(slates)
                )
            )
            made = SlateBatches(
                data, batch_size=4, npratio=npratio, replacement=replacement, seed=seed
            )
            found = [
                (int(history), candidates.tolist())
                for batch in made.epoch(0)
                for history, candidates in zip(
                    batch["history_id"].numpy(), batch["candidates"].numpy(), strict=True
                )
            ]
        clicks = [
            (i, item)
            for i, shown in enumerate(slates, 1)
            if shown in usable
            for item, label in shown
            if label
        ]
        assert sorted((history, row[0]) for history, row in found) == sorted(clicks)
        for history, (_, *negatives) in found:
            others = {item for item, label in slates[history - 1] if not label}
            drawn = [item for item in negatives if item]
            assert set(drawn) <= others
            if replacement:
                assert len(drawn) == npratio
            else:
                assert len(set(drawn)) == len(drawn) == min(npratio, len(others))
