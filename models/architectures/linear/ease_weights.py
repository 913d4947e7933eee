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


def noise_scale(matrix: sp.csr_matrix, l2: float, dropout: float) -> NDArray[np.float32]:
    """Return the scale of the items, ``(items,)``, by which EASE becomes EDLAE.

    Dropping items of a history with probability p adds ``p / (1 - p) diag(G)`` to EASE's ``l2 I``
    (Steck, NeurIPS 2020, "Autoencoders that don't overfit towards the identity"). The sum is
    ``l2 / scale**2``, so the inverse is that of EASE on ``matrix * scale``, scaled on both sides:
    EDLAE's vectors are ``query * scale`` and ``item / scale``.

    Examples
    --------
    >>> noise_scale(sp.csr_matrix([[1.0, 1.0], [0.0, 1.0]]), l2=2.0, dropout=0.75).tolist()
    [0.6324555277824402, 0.5]
    """
    squares = np.asarray(matrix.multiply(matrix).sum(axis=0)).ravel()
    noise = dropout / (1 - dropout) * squares
    scale: NDArray[np.float32] = (1 / np.sqrt(1 + noise / l2)).astype(np.float32)
    return scale


def with_user_weights(matrix: sp.csr_matrix, exponent: float) -> sp.csr_matrix:
    """Return the rows times the roots of weights ``n**-exponent``, n being a row's sum.

    In the Gram matrix each user then has that weight. The mean weight of an interaction is 1.

    Examples
    --------
    >>> rows = with_user_weights(sp.csr_matrix([[1.0, 1.0], [0.0, 1.0]]), exponent=1.0)
    >>> (rows.T @ rows).toarray().round(3).tolist()
    [[0.75, 0.75], [0.75, 2.25]]
    """
    counts = np.asarray(matrix.sum(axis=1)).ravel()
    weights = np.maximum(counts, 1.0) ** -exponent
    weights *= counts.sum() / max((weights * counts).sum(), 1e-12)
    weighted: sp.csr_matrix = (sp.diags(np.sqrt(weights)) @ matrix).astype(matrix.dtype).tocsr()
    return weighted
