"""Self-attention and additive attention against formulas of one position at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from formulas import additive_attention, doubles, pooling_weights, randomise, self_attention

from towermill.models.layers.additive_attention import AdditiveAttention
from towermill.models.layers.packing import packing
from towermill.models.layers.self_attention import SelfAttention

MASK = np.array(
    [
        [True, True, True, True, True],
        [True, True, False, False, False],
        [False] * 5,
        [False, True, False, True, False],  # padding in front and between
        [False, False, False, False, True],
    ]
)
VALUES = np.random.default_rng(1).normal(size=(5, 5, 3)).astype(np.float32)


def attend(layer: Any, values: Any = VALUES, mask: Any = MASK) -> Any:
    packed = packing(tf.constant(mask))
    return packed.pad(layer(packed.pack(tf.constant(values)), packed)).numpy()


def pool(layer: Any, values: Any = VALUES, mask: Any = MASK) -> Any:
    packed = packing(tf.constant(mask))
    return layer(packed.pack(tf.constant(values)), packed).numpy()


@pytest.fixture
def attention() -> SelfAttention:
    layer = SelfAttention(heads=2, head_dim=4)
    attend(layer)
    randomise(layer)
    return layer


@pytest.fixture
def pooling() -> AdditiveAttention:
    layer = AdditiveAttention(6)
    pool(layer)
    randomise(layer)
    return layer


class TestSelfAttention:
    def test_equals_a_slow_formula(self, attention: SelfAttention, on_device: str) -> None:
        (kernel,) = doubles(attention.kernel)
        expected = [
            self_attention(v, m, kernel, heads=2) for v, m in zip(VALUES, MASK, strict=True)
        ]
        np.testing.assert_allclose(attend(attention), expected, rtol=1e-4, atol=1e-5)

    def test_order_of_positions_goes_through(self, attention: SelfAttention) -> None:
        # There are no positions: permuted in, permuted out.
        order = [3, 0, 4, 1, 2]
        found = attend(attention, VALUES[:, order], MASK[:, order])
        np.testing.assert_allclose(found, attend(attention)[:, order], rtol=1e-5, atol=1e-6)

    def test_starts_as_three_glorot_matrices(self) -> None:
        layer = SelfAttention(heads=10, head_dim=10)
        layer.projection.build((None, 50))
        blocks = np.split(layer.kernel.numpy(), 3, axis=1)
        limit = np.sqrt(6 / (50 + 100))
        for block in blocks:
            assert 0.95 * limit < np.abs(block).max() <= limit
        assert np.abs(blocks[0] - blocks[1]).max() > 0.01

    def test_config_tells_it_whole(self) -> None:
        layer = SelfAttention(heads=3, head_dim=5, name="own")
        again = SelfAttention.from_config(layer.get_config())
        assert (again.heads, again.head_dim, again.name) == (3, 5, "own")


class TestAdditiveAttention:
    def test_equals_a_slow_formula(self, pooling: AdditiveAttention, on_device: str) -> None:
        weights = pooling_weights(pooling)
        expected = [additive_attention(v, m, weights) for v, m in zip(VALUES, MASK, strict=True)]
        np.testing.assert_allclose(pool(pooling), expected, rtol=1e-4, atol=1e-5)

    def test_order_of_positions_does_not_matter(self, pooling: AdditiveAttention) -> None:
        order = [3, 0, 4, 1, 2]
        found = pool(pooling, VALUES[:, order], MASK[:, order])
        np.testing.assert_allclose(found, pool(pooling), rtol=1e-5, atol=1e-6)

    def test_one_position_is_its_own_mean(self, pooling: AdditiveAttention) -> None:
        np.testing.assert_allclose(pool(pooling)[4], VALUES[4, 4], rtol=1e-6)

    def test_config_tells_it_whole(self) -> None:
        again = AdditiveAttention.from_config(AdditiveAttention(7, name="own").get_config())
        assert (again.units, again.name) == (7, "own")


@pytest.mark.parametrize("kind", [SelfAttention, AdditiveAttention])
class TestBoth:
    def layer(self, kind: Any) -> tuple[Any, Any]:
        """A layer whose every weight shows in the result, and how to call it."""
        layer, call = (SelfAttention(2, 4), attend) if kind is SelfAttention else (kind(6), pool)
        call(layer)
        randomise(layer)
        return layer, call

    def test_padding_behind_changes_nothing(self, kind: Any) -> None:
        layer, call = self.layer(kind)
        values = np.concatenate([VALUES, np.full((5, 3, 3), 9, np.float32)], axis=1)
        mask = np.concatenate([MASK, np.zeros((5, 3), bool)], axis=1)
        np.testing.assert_allclose(call(layer, values, mask), call(layer), atol=1e-6)

    def test_what_stands_in_padding_changes_nothing(self, kind: Any) -> None:
        layer, call = self.layer(kind)
        values = np.where(MASK[..., None], VALUES, np.float32(np.nan))
        np.testing.assert_array_equal(call(layer, values), call(layer))

    @pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "mixed_bfloat16"])
    @pytest.mark.parametrize("scale", [1.0, 30.0])
    def test_neither_values_nor_gradients_overflow(
        self, kind: Any, scale: float, dtype: str, on_device: str
    ) -> None:
        layer, call = self.layer(kind)
        again = type(layer).from_config({**layer.get_config(), "dtype": dtype})
        call(again)
        again.set_weights([w * scale for w in layer.get_weights()])
        packed = packing(tf.constant(MASK))
        values = tf.constant(VALUES)
        with tf.GradientTape() as tape:
            tape.watch(values)
            found = tf.cast(again(packed.pack(values), packed), tf.float32)
            total = tf.reduce_sum(found * found / 1e4)
        gradients = tape.gradient(total, [values, *again.trainable_variables])
        assert np.isfinite(found).all()
        assert all(np.isfinite(tf.convert_to_tensor(g)).all() for g in gradients)
        assert (gradients[0].numpy()[~MASK] == 0).all()

    def test_logits_beyond_what_a_float_can_raise(self, kind: Any) -> None:
        # Of e^1000 there is no float; the greatest logit takes it all.
        layer, call = self.layer(kind)
        scale = 1e4 if kind is AdditiveAttention else 100  # logits by the query, or its square
        layer.set_weights([w * scale for w in layer.get_weights()])
        found = call(layer)
        assert np.isfinite(found).all()
        if kind is AdditiveAttention:
            nearest = np.abs(found[0] - VALUES[0]).sum(axis=1).min()
            assert nearest < 1e-3

    @pytest.mark.parametrize("rows", [0, 3])
    def test_only_padding_is_zeros(self, kind: Any, rows: int) -> None:
        layer, call = self.layer(kind)
        values, mask = np.ones((rows, 4, 3), np.float32), np.zeros((rows, 4), bool)
        found = call(layer, values, mask)
        assert len(found) == rows
        assert (found == 0).all()
