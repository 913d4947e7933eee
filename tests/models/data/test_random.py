from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from towermill.errors import TowermillError
from towermill.models.data.random import counted_uniform, philox


class TestPhilox:
    @pytest.mark.parametrize(
        ("key", "first", "second", "expected"),
        [
            (0, 0, 0, 0xFF1DAE596CD10DF2),
            (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0x2C3F628BAB4FD7AD),
            (0x13198A2E, 0x243F6A88, 0x85A308D3, 0xDD7CE038F62A4C12),
        ],
    )
    def test_published_answers(self, key: int, first: int, second: int, expected: int) -> None:
        """Those of its authors' Random123, `kat_vectors`."""
        assert int(philox(key, first, second)) == expected


class TestCountedUniform:
    def test_each_by_itself(self) -> None:
        first, second = np.arange(40)[:, None], np.arange(30)
        whole = counted_uniform(3, first, second)
        assert whole.shape == (40, 30)
        assert whole[17, 4] == counted_uniform(3, 17, 4)
        assert len(np.unique(whole)) == whole.size
        assert not (whole == counted_uniform(4, first, second)).any()

    def test_uniform(self) -> None:
        drawn = counted_uniform(0, np.arange(500)[:, None], np.arange(200))
        share = np.histogram(drawn, 20, (0, 1))[0] / drawn.size
        np.testing.assert_allclose(share, 0.05, atol=0.004)
        assert abs(np.corrcoef(drawn[:-1].ravel(), drawn[1:].ravel())[0, 1]) < 0.02
        assert abs(np.corrcoef(drawn[:, :-1].ravel(), drawn[:, 1:].ravel())[0, 1]) < 0.02

    @pytest.mark.parametrize("seed", [-1, 1.5, True, "1"])
    def test_bad_seed(self, seed: Any) -> None:
        with pytest.raises(TowermillError, match="`seed` should be an integer from 0"):
            counted_uniform(seed, 0, 0)
