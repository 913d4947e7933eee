"""EASE as two tables of vectors whose dot product is its score of an unseen item."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse.linalg import svds

from towermill.errors import DataError

Floats = NDArray[np.float64]

#: Above this many items, only the leading eigenvectors are computed, from the sparse matrix.
EXACT_UP_TO = 4000


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues and eigenvectors of the items' Gram matrix.

    Attributes
    ----------
    values
        The largest ones, falling, float64 ``(kept,)``.
    vectors
        Of these, float64 ``(items, kept)``.
    rest
        Mean of the others; 0 if there are none.
    """

    values: Floats
    vectors: Floats
    rest: float = 0.0

    @classmethod
    def of(cls, matrix: sp.csr_matrix, dim: int, exact_up_to: int = EXACT_UP_TO) -> Spectrum:
        """Return that of ``matrix.T @ matrix``.

        All of it for up to `exact_up_to` items, else the `dim` largest eigenvalues, without a
        matrix of items by items.

        Examples
        --------
        >>> Spectrum.of(sp.csr_matrix([[1.0, 1.0], [0.0, 1.0]]), 2).values.round(3).tolist()
        [2.618, 0.382]
        """
        items = matrix.shape[1]
        kept = min(dim, min(matrix.shape) - 1)
        if items > exact_up_to and kept < 1:
            raise DataError(
                "EASE needs two or more users with training items. Found: "
                f"{matrix.shape[0]}, and {items} items. Use another `split` or `filters`."
            )
        if items <= exact_up_to:
            gram = (matrix.T @ matrix).toarray().astype(np.float64)
            values, vectors = eigh(gram, overwrite_a=True, check_finite=False)
            return cls(np.maximum(values[::-1], 0.0), vectors[:, ::-1])
        start = np.random.default_rng(0).standard_normal(min(matrix.shape))
        _, singular, rows = svds(matrix.astype(np.float64), kept, v0=start)
        order = np.argsort(-singular)
        values = singular[order] ** 2
        total = float(matrix.multiply(matrix).sum())
        return cls(values, rows[order].T, max(total - values.sum(), 0.0) / (items - kept))


def ease_vectors(
    spectrum: Spectrum, l2: float, dim: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the vectors of items in a history, and of items to score, ``(items, dim)`` each.

    EASE regresses every item on the others: ``B = I - P / diag(P)`` with ``P = (G + l2 I)^-1`` and
    G the items' Gram matrix (Steck, WWW 2019, "Embarrassingly shallow autoencoders for sparse
    data"). With ``G = V diag(g) V'``, the score of an item j that is not in the history x is

        ``-x P_j / P_jj = (x V) · (g / (g + l2) * V_j) / (l2 P_jj)``

    because ``P = (I - V diag(g / (g + l2)) V') / l2``. With fewer dimensions it is that of the
    leading eigenvectors; where the others are not known, their mean eigenvalue is taken for all of
    them in ``P_jj``.

    Examples
    --------
    >>> spectrum = Spectrum.of(sp.csr_matrix([[1.0, 1.0], [0.0, 1.0]]), 2)
    >>> query, item = ease_vectors(spectrum, l2=1.0, dim=2)
    >>> float((query[0] @ item[1]).round(4))  # G = [[1, 1], [1, 2]]: B[0, 1] = 1 / 2
    0.5
    """
    g, v = spectrum.values, spectrum.vectors
    squares = v**2
    left = np.maximum(1.0 - squares.sum(axis=1), 0.0)
    diagonal = squares @ (1 / (g + l2)) + left / (spectrum.rest + l2)
    query, kept = v[:, :dim], g[:dim]
    item = query * (kept / (kept + l2)) / (l2 * diagonal)[:, None]
    return query.astype(np.float32), item.astype(np.float32)
