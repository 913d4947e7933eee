"""Factors of weighted interactions by the library `implicit`."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from towermill.errors import RecipeError
from towermill.extras import install_command

Floats = NDArray[np.float32]


def als_factors(
    matrix: sp.csr_matrix,
    *,
    factors: int,
    l2: float,
    alpha: float,
    iterations: int,
    seed: int,
    gpu: bool = False,
) -> Floats:
    """Return the items' factors, turned so that folding a history in needs no matrix of their own.

    Hu et al. (ICDM 2008, "Collaborative filtering for implicit feedback datasets") minimise
    ``sum c (r - p·y)² + l2 (|p|² + |y|²)`` over all pairs, r being 1 and c ``1 + alpha`` for
    interactions, 0 and 1 for the others. A user's factors are then
    ``p = (Y'Y + l2 I + alpha Yu'Yu)^-1 (1 + alpha) sum y``, Yu being the rows of the history. With
    ``Y'Y + l2 I = L L'`` and ``z = L^-1 y``, the scores ``p · y`` are those of
    ``w = (I + alpha Zu'Zu)^-1 (1 + alpha) sum z`` with z. The z are returned.

    Parameters
    ----------
    matrix
        Interactions, ``(users, items)``.
    factors, l2, alpha, iterations
        See `AlsConfig`.
    seed
        Of the first values.
    gpu
        Whether to compute on a GPU, if `implicit` can.

    Returns
    -------
    float32 ``(items, factors)``.

    Raises
    ------
    RecipeError
        `implicit` is not installed.
    """
    kind = _model(gpu)
    with _one_blas_thread():
        model = kind(
            factors=factors,
            regularization=l2,
            alpha=1 + alpha,  # the library's is the confidence itself
            iterations=iterations,
            random_state=seed,
        )
        model.fit(matrix, show_progress=False)
    found = model.item_factors
    on_gpu = hasattr(found, "to_numpy")
    y = np.asarray(found.to_numpy() if on_gpu else found, np.float64)
    lower = np.linalg.cholesky(y.T @ y + l2 * np.eye(y.shape[1]))
    return np.linalg.solve(lower, y.T).T.astype(np.float32)


def fold_in(histories: sp.csr_matrix, vectors: Floats, alpha: float) -> Floats:
    """Return the queries of histories ``(rows, items)``, solved directly: ``(rows, factors)``.

    Parameters
    ----------
    vectors
        Of `als_factors`.
    alpha
        See `AlsConfig`.

    Examples
    --------
    >>> history = sp.csr_matrix([[1.0, 0.0]])
    >>> fold_in(history, np.array([[1.0, 0.0], [0.5, 0.5]]), alpha=1.0).tolist()
    [[1.0, 0.0]]
    """
    queries = np.zeros((histories.shape[0], vectors.shape[1]), np.float32)
    same = np.eye(vectors.shape[1])
    for row in range(len(queries)):
        own = vectors[histories.indices[histories.indptr[row] : histories.indptr[row + 1]]]
        if len(own):
            total = (1 + alpha) * own.sum(axis=0)
            queries[row] = np.linalg.solve(same + alpha * own.T @ own, total)
    return queries


def _model(gpu: bool) -> Any:
    """Return the class of the model."""
    try:
        from implicit import gpu as device
        from implicit.cpu.als import AlternatingLeastSquares as OnCPU
    except ImportError as error:
        raise RecipeError(
            "`als` needs the package `implicit`, which is not installed. Install it: "
            f"{install_command('als')}"
        ) from error
    if not (gpu and device.HAS_CUDA and device.HAS_RMM):
        return OnCPU
    from implicit.gpu.als import AlternatingLeastSquares as OnGPU

    return OnGPU


def _one_blas_thread() -> Any:
    """Keep BLAS to one thread, as `implicit` computes in threads of its own."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, "blas")
