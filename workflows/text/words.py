"""Matrices that token embeddings begin from."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from towermill.errors import DataError
from towermill.progress import progress
from towermill.workflows.text.checkpoints import PATTERNS, model_folder, read_tensor, tensor_places
from towermill.workflows.text.config import is_vector_file
from towermill.workflows.text.tokenizer import TextTokenizer

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
    capitalised, or in capitals. Words not in the file, and pieces within words, are drawn
    from a normal distribution with the mean and deviation, number by number, of those found.

    Parameters
    ----------
    source
        As `TextConfig.words`: a text file of vectors, or the name or folder of a transformer.
    tokenizer
        For a transformer, its own.
    seed
        Seed of the random vectors.

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


_FORM = "a word and its numbers on each line, with blanks between (after a line of counts, or not)"


#: Lines between two looks at how far a file has been read.
_LINES = 50_000


def read_vectors(path: Path, words: list[str]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the vectors of words, from a file that is read line by line.

    Parameters
    ----------
    path
        UTF-8 text, or the same packed by gzip.
    words
        What to look for; empty ones are not.

    Returns
    -------
    Positions in `words` that were found, rising, and their vectors, (found, width).

    Raises
    ------
    DataError
        If there is no such file, it is not of that form, its lines differ in width, or none of
        `words` is in it.
    """
    if not path.is_file():
        raise DataError(f"`text.words` should name a file that exists. Received: {path}.")
    wanted = _variants(words)
    found: dict[int, tuple[int, NDArray[np.float32]]] = {}
    for number, word, values in _lines(path):
        for position, rank in wanted.get(word, ()):
            # The nearer spelling wins; of equal ones the first in the file, the more frequent.
            if position not in found or rank < found[position][0]:
                found[position] = (rank, _numbers(values, path, number))
    if not found:
        some = ", ".join(word for word in words if word)[:60]
        raise DataError(
            f"{path} should know some of the tokenizer's words ({some} …); it knows none. Take "
            "vectors of the text's language, or set `text.tokenizer` to word."
        )
    positions = sorted(found)
    return np.array(positions, np.int64), np.stack([found[p][1] for p in positions])


def _variants(words: list[str]) -> dict[bytes, list[tuple[int, int]]]:
    """Return, by spelling, the positions of the words it serves, and how far from theirs it is."""
    wanted: dict[bytes, list[tuple[int, int]]] = {}
    for position, word in enumerate(words):
        spellings = dict.fromkeys((word, word.lower(), word.capitalize(), word.upper()))
        for rank, spelling in enumerate(spellings if word else ()):
            wanted.setdefault(spelling.encode(), []).append((position, rank))
    return wanted


def _lines(path: Path) -> Iterator[tuple[int, bytes, list[bytes]]]:
    """Give line numbers, words and their numbers, still as text; lines of other words than one."""
    width = 0
    with path.open("rb") as raw, progress() as bars:
        bar = bars.add_task(path.name, total=path.stat().st_size)
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        file = cast(BinaryIO, gzip.open(raw)) if packed else raw  # noqa: SIM115
        try:
            for number, line in enumerate(file, start=1):
                if number % _LINES == 0:
                    bars.update(bar, completed=raw.tell() if packed else None)
                fields = line.split()
                if number == 1 and len(fields) == 2 and all(f.isdigit() for f in fields):
                    width = int(fields[1])
                    continue
                if not width:
                    width = _width(fields, path)
                if len(fields) == width + 1:
                    yield number, fields[0], fields[1:]
                elif not fields:
                    continue
                elif len(fields) <= width or all(_is_number(field) for field in fields[1:]):
                    # (Else it is a word with blanks in it, of which GloVe's have some.)
                    raise DataError(
                        f"{path}, line {number}, should have {width} numbers, as the first has; "
                        f"it has {len(fields) - 1}. The file is cut or mixed: fetch it again."
                    )
        except (EOFError, gzip.BadGzipFile) as error:
            raise DataError(f"{path} cannot be unpacked: {error}. Fetch it again.") from error


def _width(fields: list[bytes], path: Path) -> int:
    width = len(fields) - 1
    if width < 2 or not all(_is_number(field) for field in fields[1:]):
        start = b" ".join(fields)[:40].decode(errors="replace")
        raise DataError(
            f"{path} should have {_FORM}; it begins with {start!r}. A binary file (.bin) must be "
            "saved as text first."
        )
    return width


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _numbers(values: list[bytes], path: Path, line: int) -> NDArray[np.float32]:
    try:
        vector = np.array(values, dtype=np.float64)
    except ValueError as error:
        raise DataError(f"{path}, line {line}, should have {_FORM}: {error}.") from error
    if not np.isfinite(vector).all():
        raise DataError(f"{path}, line {line}, should have finite numbers. Take another file.")
    return vector.astype(np.float32)
