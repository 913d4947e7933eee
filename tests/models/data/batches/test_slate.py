"""Training batches of impressions: who is whose negative, worked out by hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from news_worlds import Row, articles, impressions, write_impressions

from towermill.errors import DataError
from towermill.models.configs.news.nrms import NRMSConfig
from towermill.models.data.batches import slate as module
from towermill.models.data.batches.slate import SlateBatches
from towermill.models.data.impressions import ImpressionData

#: Histories tell the impressions apart: row i + 1 is that of the i-th.
ROWS: list[Row] = [
    (3, 1, 0, [3, 4, 5, 6, 7], [4]),  # one click, four others
    (3, 2, 1, [8, 3, 9], [3, 9]),  # two clicks beside a single other
    (4, 3, 2, [3, 4], []),  # nothing clicked
    (4, 4, 3, [5, 6], [6, 5]),  # all clicked
    (5, 5, 4, [], []),
    (5, 6, 5, [10, 11, 12], [12]),
]
#: The clicks that give rows, and what else was shown, by history.
CLICKS = {1: {4}, 2: {3, 9}, 6: {12}}
OTHERS = {1: {3, 5, 6, 7}, 2: {8}, 6: {10, 11}}
#: Hours after the first impression; the article of id 7 has no moment.
PUBLISHED = [-0.25, -1, -3, -10, None, -100, -1000, 0, 1, 4.9]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ImpressionData:
    items = articles([[3]] * len(PUBLISHED), published=PUBLISHED)
    path = tmp_path_factory.mktemp("slates")
    histories = [[3]] * 6
    return ImpressionData(write_impressions(path, {"train": impressions(ROWS)}, items, histories))


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> ImpressionData:
    """A hundred impressions of five, the first of which is clicked; each has its own history."""
    rows: list[Row] = [
        (3, i + 1, 0, (np.arange(5) + 3 + i % 20).tolist(), [3 + i % 20]) for i in range(100)
    ]
    path = tmp_path_factory.mktemp("many")
    items = articles([[3]] * 30)
    return ImpressionData(write_impressions(path, {"train": impressions(rows)}, items, [[3]] * 100))


def batches(data: ImpressionData, **options: Any) -> SlateBatches:
    return SlateBatches(data, **{"batch_size": 3, "npratio": 4, "seed": 5, **options})


def epoch(made: SlateBatches, number: int = 0) -> dict[str, np.ndarray]:
    """Return the rows of an epoch, its batches put together."""
    parts = list(made.epoch(number))
    return {name: np.concatenate([p[name].numpy() for p in parts]) for name in parts[0]}


class TestRows:
    @pytest.mark.parametrize("replacement", [True, False])
    def test_each_click_is_a_row_with_negatives_of_its_own(
        self, replacement: bool, data: ImpressionData
    ) -> None:
        made = batches(data, replacement=replacement)
        assert (made.rows, len(made)) == (4, 2)
        for number in range(20):
            rows = epoch(made, number)
            found: dict[int, set[int]] = {}
            for history, (click, *negatives) in zip(
                rows["history_id"].tolist(), rows["candidates"].tolist(), strict=True
            ):
                found.setdefault(history, set()).add(click)
                assert set(negatives) <= OTHERS[history] | (set() if replacement else {0})
            assert found == CLICKS
            assert len(rows["history_id"]) == 4

    def test_shapes_and_types(self, data: ImpressionData) -> None:
        first, second = batches(data, ages=True).epoch(0)
        assert {n: v.shape.as_list() for n, v in first.items()} == {
            "user_id": [3],
            "history_id": [3],
            "candidates": [3, 5],
            "ages": [3, 5],
        }
        assert {n: v.shape.as_list()[0] for n, v in second.items()} == dict.fromkeys(first, 1)
        assert {v.dtype.name for v in [*first.values(), *second.values()]} == {"int32"}
        example = batches(data).first()
        assert example["candidates"].shape == (2, 5)

    def test_without_replacement_none_stands_twice(self, data: ImpressionData) -> None:
        made = batches(data, replacement=False, npratio=3)
        drawn = []
        for number in range(60):
            rows = epoch(made, number)
            for history, (_, *negatives) in zip(
                rows["history_id"].tolist(), rows["candidates"].tolist(), strict=True
            ):
                real = [n for n in negatives if n]
                assert len(real) == len(set(real)) == min(3, len(OTHERS[history]))
                assert negatives[len(real) :] == [0] * (3 - len(real))
                if history == 1:
                    drawn.append(frozenset(real))
        assert len(set(drawn)) == 4  # every choice of 3 from 4 comes up

    def test_with_replacement_each_other_is_as_likely(self, data: ImpressionData) -> None:
        made = batches(data, npratio=50)
        counts: Counter[int] = Counter()
        for number in range(40):
            rows = epoch(made, number)
            place = rows["history_id"].tolist().index(1)
            counts.update(rows["candidates"][place, 1:].tolist())
        observed, expected = np.array([counts[i] for i in OTHERS[1]]), 2000 / 4
        chi_square = ((observed - expected) ** 2 / expected).sum()
        assert chi_square < 16.3  # three degrees of freedom: exceeded once in a thousand

    def test_without_replacement_each_other_is_as_likely(self, data: ImpressionData) -> None:
        made = batches(data, npratio=2, replacement=False)
        counts: Counter[int] = Counter()
        for number in range(300):
            rows = epoch(made, number)
            place = rows["history_id"].tolist().index(1)
            counts.update(rows["candidates"][place, 1:].tolist())
        observed = np.array([counts[i] for i in OTHERS[1]])
        assert observed.sum() == 600
        assert np.abs(observed - 150).max() < 40

    def test_ages_are_those_of_the_candidates(self, data: ImpressionData) -> None:
        # Impressions stand 0, 1 and 5 hours after noon; see `PUBLISHED` and `AGE_HOURS`.
        by_history = {
            1: {3: 1, 4: 2, 5: 4, 6: 8, 7: 0, 0: 0},
            2: {8: 14, 3: 3, 9: 15, 0: 0},
            6: {10: 6, 11: 5, 12: 1, 0: 0},
        }
        for replacement in (True, False):
            made = batches(data, ages=True, replacement=replacement)
            for number in range(5):
                rows = epoch(made, number)
                for _, history, shown, ages in zip(*rows.values(), strict=True):
                    expected = [by_history[int(history)][i] for i in shown.tolist()]
                    assert ages.tolist() == expected

    def test_nothing_to_train_on(self, data: ImpressionData, tmp_path: Path) -> None:
        path = write_impressions(tmp_path, {"train": impressions(ROWS[2:5])}, data.items, [[3]] * 6)
        with pytest.raises(DataError, match="of 3 none is"):
            batches(ImpressionData(path))

    def test_settings_are_the_models(self, data: ImpressionData) -> None:
        config = NRMSConfig(npratio=7, replacement=False, age=True)
        made = config.batches(data, batch_size=2, seed=9)
        assert (made.npratio, made.replacement, made.batch_size, made.seed) == (7, False, 2, 9)
        assert next(made.epoch(0))["ages"].shape == (2, 8)


class TestOrder:
    @pytest.mark.parametrize("replacement", [True, False])
    def test_seed_and_epoch_decide(self, replacement: bool, many: ImpressionData) -> None:
        options = {"replacement": replacement, "npratio": 2}
        one, same = (epoch(batches(many, **options), 1) for _ in range(2))
        for name, values in one.items():
            np.testing.assert_array_equal(values, same[name])
        later, other = (
            epoch(batches(many, **options), 2),
            epoch(batches(many, seed=6, **options), 1),
        )
        for rows in (later, other):
            assert (rows["history_id"] != one["history_id"]).any()
            assert sorted(rows["history_id"]) == sorted(one["history_id"]) == list(range(1, 101))
            a, b = ({h: tuple(c) for _, h, c in zip(*r.values(), strict=True)} for r in (rows, one))
            assert a != b  # other negatives, too

    @pytest.mark.parametrize("replacement", [True, False])
    def test_rows_do_not_depend_on_the_batch(self, replacement: bool, many: ImpressionData) -> None:
        one, other = (
            epoch(batches(many, batch_size=size, replacement=replacement)) for size in (7, 100)
        )
        for name, values in one.items():
            np.testing.assert_array_equal(values, other[name])

    @pytest.mark.parametrize("block", [1, 10, 32, 99, 100, 101])
    @pytest.mark.parametrize("size", [1, 10, 32, 100, 128])
    def test_batches_are_whole_across_blocks(
        self, block: int, size: int, many: ImpressionData, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_BLOCK", block)
        made = batches(many, batch_size=size)
        parts = [b["history_id"].numpy() for b in made.epoch(0)]
        lengths = [len(p) for p in parts]
        assert lengths == [size] * (100 // size) + [100 % size] * (100 % size > 0)
        assert len(made) == len(parts)
        assert sorted(np.concatenate(parts)) == list(range(1, 101))
        rows = epoch(batches(many, batch_size=3))
        np.testing.assert_array_equal(np.concatenate(parts), rows["history_id"])
        assert all((epoch(made)["candidates"][:, 1:] != 0).ravel())
