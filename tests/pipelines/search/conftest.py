"""A catalogue with lengths like a trained recommender's."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

sys.path[:0] = [str(Path(__file__).parent)]


@pytest.fixture(scope="session")
def world() -> tuple[NDArray, NDArray]:
    """Return 8,000 vectors of log-normal lengths and 100 queries, of 16 numbers."""
    rng = np.random.default_rng(7)
    topics = rng.standard_normal((40, 16))
    vectors = topics[rng.integers(0, 40, 8000)] + 0.7 * rng.standard_normal((8000, 16))
    vectors *= np.exp(0.4 * rng.standard_normal((8000, 1)))
    queries = topics[rng.integers(0, 40, 100)] + rng.standard_normal((100, 16))
    return vectors.astype(np.float32), queries.astype(np.float32)
