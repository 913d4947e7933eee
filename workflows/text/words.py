"""Matrices that token embeddings begin from."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from towermill.errors import DataError
from towermill.workflows.text.checkpoints import PATTERNS, read_tensor, tensor_places
from towermill.workflows.text.config import is_vector_file
from towermill.workflows.text.hub import model_folder
from towermill.workflows.text.tokenizer import TextTokenizer
from towermill.workflows.text.vector_file import read_vectors

logger = logging.getLogger(__name__)

#: Ends of the names that transformers give their input embeddings, the surest first.
_EMBEDDINGS = (
    "word_embeddings.weight",
    "embed_tokens.weight",
    "tok_embeddings.weight",
    "wte.weight",
    "shared.weight",
)


def word_matrix(source: str, tokenizer: TextTokenizer, seed: int = 0) -> NDArray[np.float32]:
    """Return the vectors that a tokenizer's ids begin from.

    From a file, a token takes the vector of its word: as it is written, else in lower case,
    capitalised, or in capitals. What the file does not know, and pieces within words, are drawn
    from a normal distribution with the mean and deviation, number by number, of those found.

    Parameters
    ----------
    source
        As `TextConfig.words`: a text file of vectors, or the name or folder of a transformer.
    tokenizer
        For a transformer, its own.
    seed
        Of what is drawn.

    Returns
    -------
    (`tokenizer.size`, width) float32; row 0, of padding, is zeros.

    Raises
    ------
    DataError
        If there is no such file or model, it is of another form, no word of it is known, or it is
        not the tokenizer's.
    SetupError
        If a package is missing, or the model cannot be fetched.
    """
    if not is_vector_file(source):
        return _of_transformer(source, tokenizer)
    found, vectors = read_vectors(Path(source).expanduser(), tokenizer.words())
    rows = tokenizer.size
    matrix = np.empty((rows, vectors.shape[1]), np.float32)
    rng = np.random.default_rng(seed)
    # Row by row of all of them, so that a token found or not does not change what others draw.
    matrix[:] = rng.standard_normal(matrix.shape, dtype=np.float32)
    matrix *= vectors.std(axis=0, dtype=np.float64).astype(np.float32)
    matrix += vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    matrix[found] = vectors
    matrix[0] = 0
    logger.info("%s has vectors for %.1f %% of %d tokens", source, 100 * len(found) / rows, rows)
    return matrix


def _of_transformer(source: str, tokenizer: TextTokenizer) -> NDArray[np.float32]:
    folder = model_folder(source, PATTERNS)
    places = tensor_places(folder)
    name = next((n for end in _EMBEDDINGS for n in places if n.endswith(end)), None)
    if name is None:
        raise DataError(
            f"{folder} should hold the input embeddings of a transformer, under a name that ends "
            f"in {', '.join(_EMBEDDINGS)}. Found: {', '.join(list(places)[:5])} … "
            "Take another model."
        )
    rows = read_tensor(places[name], name, least=tokenizer.size - 1)
    matrix = np.zeros((tokenizer.size, rows.shape[1]), np.float32)
    matrix[1:] = rows
    logger.info("%s of %s: %d vectors of %d numbers", name, source, *rows.shape)
    return matrix
