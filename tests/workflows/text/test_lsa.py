"""Vectors by the words of texts: against scikit-learn, and texts that have none."""

from __future__ import annotations

import numpy as np
import polars as pl
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import normalize

from towermill.workflows.text import lsa
from towermill.workflows.text.lsa import lsa_vectors


def texts(count: int) -> list[str]:
    rng = np.random.default_rng(0)
    words = np.array([f"w{number}" for number in range(40)])
    return [" ".join(rng.choice(words, rng.integers(3, 12))) for _ in range(count)]


class TestVectors:
    def test_cosines_are_those_of_scikit_learn(self, monkeypatch) -> None:  # type: ignore[no-untyped-def]
        monkeypatch.setattr(lsa, "_WIDTH", 10)
        monkeypatch.setattr(lsa, "_BLOCK", 17)
        said = texts(60)
        counts = CountVectorizer(token_pattern=r"\S+").fit_transform(said).toarray()
        share = len(said) / (counts > 0).sum(axis=0)
        with np.errstate(divide="ignore"):
            weighed = np.where(counts > 0, 1 + np.log(counts), 0) * np.log(1 + share)
        expected = TruncatedSVD(10, algorithm="arpack").fit_transform(normalize(weighed))
        found = lsa_vectors(pl.Series(said))
        assert found.shape == (60, 10)
        expected = normalize(expected)
        np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-4)

    def test_like_words_like_vectors_whatever_their_case(self) -> None:
        said = pl.Series(["Cats purr.", "cats, purr!", "dogs bark", "dogs bark", "cats bark"])
        found = lsa_vectors(said)
        cosines = found @ found.T
        assert cosines[0, 1] > 0.999
        assert abs(cosines[0, 2]) < 1e-5
        assert 0.3 < cosines[0, 4] < 0.9

    def test_without_words_zeros(self) -> None:
        found = lsa_vectors(pl.Series(["a b", "a b", "", None, "unique"]))
        np.testing.assert_array_equal(found[2:], 0)
        assert np.linalg.norm(found[:2], axis=1).min() > 0.99

    def test_no_words_at_all(self) -> None:
        np.testing.assert_array_equal(lsa_vectors(pl.Series(["", None])), [[0], [0]])
