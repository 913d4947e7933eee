"""Samplers and the logits they lead to, against frequencies and slow formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from merlin.models.tf.outputs.base import DotProduct
from merlin.models.tf.outputs.sampling.base import Candidate
from merlin.schema import ColumnSchema, Schema

from towermill.columns import FIRST_ID
from towermill.errors import TowermillError
from towermill.models.architectures.two_tower import ACCIDENTAL_HIT, SampledOutput, no_metrics
from towermill.models.objectives.feature_table import FeatureTable
from towermill.models.objectives.negatives import NEGATIVES
from towermill.models.objectives.negatives.base import Drawing

#: By encoded id: padding, null and out of vocabulary first. Item 6 (the 4th) was never met.
ID_COUNTS = np.array([0, 1, 3, 40, 30, 20, 0, 6])
ITEMS = {"item_id": np.arange(5, dtype=np.int32) + FIRST_ID}
EMBEDDINGS = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)


def item_tower(features: Any, training: bool = False) -> Any:
    return tf.gather(EMBEDDINGS, features["item_id"])


def make(kind: Any, **options: Any) -> Any:
    defaults = {"num_negatives": 1000, "popularity_power": 1.0, "batch_size": 3, "seed": 5}
    drawing = Drawing(item_tower, ITEMS, ID_COUNTS, **{**defaults, **options})
    return NEGATIVES.get(kind)().sampler(drawing)


def candidates(ids: list[int]) -> Candidate:
    column = tf.constant(ids, tf.int32)[:, None]
    return Candidate(id=column, metadata={}).with_embedding(tf.gather(EMBEDDINGS, ids))


def probability(negatives: Any, ids: list[int]) -> list[float]:
    return negatives.with_sampling_probs(candidates(ids)).sampling_prob.numpy().ravel().tolist()


class TestDraws:
    @pytest.mark.parametrize(
        ("kind", "power", "expected"),
        [
            ("uniform", 1.0, [0.2, 0.2, 0.2, 0.2, 0.2]),
            ("popularity", 1.0, [40 / 96, 30 / 96, 20 / 96, 0, 6 / 96]),
            ("popularity", 0.5, np.sqrt([40, 30, 20, 0, 6]) / np.sqrt([40, 30, 20, 0, 6]).sum()),
            ("popularity", 0.0, [0.2, 0.2, 0.2, 0.2, 0.2]),
        ],
    )
    def test_frequencies(self, kind: str, power: float, expected: Any, on_device: str) -> None:
        negatives = make(kind, popularity_power=power)
        ids = np.concatenate([negatives(candidates([3])).id.numpy().ravel() for _ in range(30)])
        counts = np.bincount(ids, minlength=8)[FIRST_ID:]
        expected = np.array(expected) * 30_000
        assert counts.sum() == 30_000
        assert (counts[expected == 0] == 0).all()
        known = expected > 0
        chi_square = ((counts[known] - expected[known]) ** 2 / expected[known]).sum()
        assert chi_square < 25  # at most 4 degrees of freedom: by chance once in 20,000

    def test_draws_are_encoded_by_the_tower(self) -> None:
        drawn = make("uniform", num_negatives=6)(candidates([3]))
        np.testing.assert_array_equal(drawn.embedding, EMBEDDINGS[drawn.id.numpy().ravel()])
        assert drawn.id.shape == (6, 1)
        assert drawn.id.dtype == tf.int32

    def test_seed_and_counter_decide(self) -> None:
        def draw(negatives: Any) -> list[int]:
            return negatives(candidates([3])).id.numpy().ravel().tolist()

        one, same, other = make("uniform"), make("uniform"), make("uniform", seed=6)
        first, second = draw(one), draw(one)
        assert first != second
        assert draw(other) != first
        same.draws.assign(1)  # as restored from a checkpoint after one draw
        assert draw(same) == second
        tf.random.set_seed(99)
        one.draws.assign(0)
        assert draw(one) == first

    def test_in_batch_is_the_batch(self) -> None:
        positive = candidates([3, 5, 3])
        drawn = make("in_batch")(positive)
        assert drawn.id.numpy().tolist() == [[3], [5], [3]]
        assert drawn.embedding is positive.embedding

    def test_mixed_is_both(self) -> None:
        drawn = make("mixed", num_negatives=4)(candidates([3, 5, 3]))
        ids = drawn.id.numpy().ravel()
        assert ids[:3].tolist() == [3, 5, 3]
        assert len(ids) == 7
        np.testing.assert_array_equal(drawn.embedding, EMBEDDINGS[ids])

    @pytest.mark.parametrize("kind", ["in_batch", "uniform", "mixed"])
    def test_needs_a_batch(self, kind: str) -> None:
        with pytest.raises(TowermillError, match="call the sampler on one"):
            make(kind).sample()


class TestProbabilities:
    def test_in_batch_is_the_share_of_training_rows(self) -> None:
        found = probability(make("in_batch"), [3, 4, 6, 2, 1])
        assert found == pytest.approx([0.4, 0.3, 0, 0.03, 0.01])

    def test_uniform(self) -> None:
        assert probability(make("uniform"), [3, 6, 7]) == pytest.approx([0.2, 0.2, 0.2])

    def test_popularity(self) -> None:
        assert probability(make("popularity"), [3, 7]) == pytest.approx([40 / 96, 6 / 96])

    def test_what_is_never_drawn_counts_as_the_rarest(self) -> None:
        assert probability(make("popularity"), [2, 6]) == pytest.approx([6 / 96, 6 / 96])
        assert probability(make("uniform"), [2]) == pytest.approx([0.2])

    def test_mixed_is_the_mean_weighted_by_how_many_each_brings(self) -> None:
        negatives = make("mixed", num_negatives=9, batch_size=3)
        expected = [0.75 * 0.2 + 0.25 * 0.4, 0.75 * 0.2 + 0, 0.25 * 0.03]
        assert probability(negatives, [3, 6, 2]) == pytest.approx(expected)


class TestLogits:
    def logits(self, positive: list[int], negative: list[int], query: Any, **options: Any) -> Any:
        output = SampledOutput(
            to_call=DotProduct(),
            negative_samplers=[make("popularity")],
            schema=Schema([ColumnSchema("item_id", dtype=np.int32)]),
            default_metrics_fn=no_metrics,
            **options,
        )
        probs = [
            make("popularity").with_sampling_probs(candidates(i)) for i in (positive, negative)
        ]
        return output.outputs(tf.constant(query), *probs)

    def slow(
        self, positive: list[int], negative: list[int], query: Any, temperature: float, logq: bool
    ) -> list[list[float]]:
        shares = dict(zip(range(3, 8), np.array([40, 30, 20, 6, 6]) / 96, strict=True))
        rows = []
        for row, own in enumerate(positive):
            logits = []
            for column, item in enumerate([own, *negative]):
                score = float(query[row] @ EMBEDDINGS[item]) / temperature
                score -= np.log(shares[item]) if logq else 0.0
                logits.append(ACCIDENTAL_HIT if column and item == own else score)
            rows.append(logits)
        return rows

    @pytest.mark.parametrize("logq", [False, True])
    @pytest.mark.parametrize("temperature", [1.0, 0.1])
    @pytest.mark.parametrize(
        ("positive", "negative"),
        [([3, 5, 3], [3, 5, 3]), ([3, 7], [4, 5, 7, 7]), ([3], [3]), ([4], [5, 7]), ([4, 5], [5])],
    )
    def test_equal_a_slow_formula(
        self, positive: Any, negative: Any, temperature: float, logq: bool, on_device: str
    ) -> None:
        query = np.random.default_rng(1).normal(size=(len(positive), 4)).astype(np.float32)
        found = self.logits(
            positive, negative, query, temperature=temperature, logq_sampling_correction=logq
        )
        expected = self.slow(positive, negative, query, temperature, logq)
        np.testing.assert_allclose(found.outputs, expected, rtol=1e-4)
        assert found.targets.numpy().tolist() == [[1] + [0] * len(negative)] * len(positive)
        assert found.outputs.dtype == tf.float32

    def test_an_accidental_hit_never_lowers_the_positive(self) -> None:
        query = np.ones((2, 4), np.float32)
        alone = self.logits([3, 4], [5], query).outputs.numpy()
        beside = self.logits([3, 4], [5, 3, 3], query).outputs.numpy()
        np.testing.assert_allclose(tf.nn.softmax(beside[0])[:2], tf.nn.softmax(alone[0]), rtol=1e-6)
        assert beside[1].min() > ACCIDENTAL_HIT  # for the other row they are true negatives

    def test_half_precision_embeddings_give_float32_logits(self) -> None:
        found = self.logits([3, 4], [5, 3], np.ones((2, 4), np.float16), temperature=0.01)
        assert found.outputs.dtype == tf.float32
        assert np.isfinite(found.outputs).all()


class TestTable:
    def test_gathers_scalars_and_lists(self, on_device: str) -> None:
        table = FeatureTable(
            {
                "item_id": np.array([3, 4, 5], np.int32),
                "genres__values": np.array([7, 8, 9], np.int32),
                "genres__offsets": np.array([0, 2, 2, 3], np.int32),
            }
        )
        batch = {name: values.numpy().tolist() for name, values in table.rows([2, 0, 1, 0]).items()}
        assert batch == {
            "item_id": [5, 3, 4, 3],
            "genres__values": [9, 7, 8, 7, 8],
            "genres__offsets": [0, 1, 3, 3, 5],
        }
