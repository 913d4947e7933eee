"""Sequences without their padding, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from towermill.models.layers.packing import packing

MASK = [[True, False, True, False], [False] * 4, [True, False, False, False]]


class TestPacking:
    def test_holds_real_positions_alone(self, on_device: str) -> None:
        packed = packing(tf.constant(MASK))
        assert packed.mask.shape == (3, 3)  # nothing real stands in the last column
        assert packed.places.numpy().tolist() == [[0, 0], [0, 2], [2, 0]]
        assert packed.owners.numpy().tolist() == [0, 0, 2]
        assert int(packed.sequences) == 3
        values = tf.reshape(tf.range(12.0), [3, 4, 1])
        assert packed.pack(values).numpy().tolist() == [[0.0], [2.0], [8.0]]

    def test_pad_undoes_pack(self, on_device: str) -> None:
        packed = packing(tf.constant(MASK))
        values = tf.constant([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
        padded = packed.pad(values)
        expected = [[[1, 2], [0, 0], [3, 4]], [[0, 0]] * 3, [[5, 6], [0, 0], [0, 0]]]
        assert padded.numpy().tolist() == expected
        np.testing.assert_array_equal(packed.pack(padded), values)

    @pytest.mark.parametrize("shape", [(2, 3), (2, 0), (0, 3), (0, 0)])
    def test_of_nothing(self, shape: Any) -> None:
        packed = packing(tf.zeros(shape, tf.bool))
        assert packed.places.shape == (0, 2)
        assert int(packed.sequences) == shape[0]
        padded = packed.pad(tf.zeros([0, 5]))
        assert padded.shape == (shape[0], min(shape[1], 1), 5)

    @pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
    def test_keeps_the_type(self, dtype: Any) -> None:
        packed = packing(tf.constant(MASK))
        assert packed.pad(tf.ones([3, 2], dtype)).dtype == dtype
