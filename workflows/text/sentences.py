"""Vectors of sentences, each computed once."""

from __future__ import annotations

import hashlib
import logging
import os
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from towermill.progress import progress
from towermill.workflows.text.checkpoints import TOKENIZER
from towermill.workflows.text.encoder import SentenceModel

logger = logging.getLogger(__name__)

#: Sentences between two writes of the cache: the most that a stopped run can lose.
_CHUNK = 16_384


def sentence_vectors(
    texts: pl.Series, model: str, *, cache: Path | None = None, batch_size: int = 64
) -> NDArray[np.float32]:
    """Return a sentence model's embeddings of texts, as sentence-transformers does.

    Equal texts are computed once, and kept in `cache` by model and text, so that another run
    computes new ones alone. Sentences are batched by length; what they are batched with moves a
    vector by no more than float32 rounds.

    Parameters
    ----------
    texts
        Strings; null counts as empty.
    model
        The name of a model on Hugging Face, or a folder: of type BERT, RoBERTa, XLM-RoBERTa,
        DistilBERT or ALBERT, with ``model.safetensors`` and ``tokenizer.json``.
    cache
        A folder, made if it is not there; several processes may use it at once. By default
        ``$TOWERMILL_CACHE``, else ``~/.cache/towermill``.
    batch_size
        Sentences a step.

    Returns
    -------
    (n, width) float32.

    Raises
    ------
    DataError
        If the model is not one that can be run.
    SetupError
        If packages are missing, or the model cannot be fetched.
    """
    opened = SentenceModel.open(model)
    prepared = texts.fill_null("").str.strip_chars()
    if opened.lowercase:
        prepared = prepared.str.to_lowercase()
    asked = pl.DataFrame({"text": opened.prompt + prepared})
    distinct = asked.unique("text", maintain_order=True)
    keys = [hashlib.sha256(text.encode()).digest() for text in distinct["text"]]
    distinct = distinct.with_columns(key=pl.Series(keys, dtype=pl.Binary))

    folder = (cache or default_cache()) / "sentences" / opened.fingerprint()
    known = _read(folder, distinct)
    new = distinct.join(known, on="key", how="anti")
    logger.info("%s: %d sentences, %d of them new", model, distinct.height, new.height)
    if new.height:
        known = pl.concat([known, *_computed(new, opened, folder, batch_size)])
    width = int(opened.config.get("hidden_size") or opened.config.get("dim") or 0)
    rows = asked.join(distinct, on="text", how="left", maintain_order="left").join(
        known.cast({"vector": pl.Array(pl.Float32, width)}),
        on="key",
        how="left",
        maintain_order="left",
    )
    return rows["vector"].to_numpy().reshape(texts.len(), width).astype(np.float32, copy=False)


def default_cache() -> Path:
    """Return the folder ``$TOWERMILL_CACHE``, else ``~/.cache/towermill``."""
    return Path(os.environ.get("TOWERMILL_CACHE") or "~/.cache/towermill").expanduser()


def _read(folder: Path, distinct: pl.DataFrame) -> pl.DataFrame:
    """Return the ``key`` and ``vector`` of those of `distinct` that the cache knows."""
    files = sorted(folder.glob("*.parquet"))
    if not files:
        return pl.DataFrame(schema={"key": pl.Binary, "vector": pl.List(pl.Float32)})
    # Two processes may have computed the same.
    found = pl.scan_parquet(files).join(distinct.lazy().select("key"), on="key", how="semi")
    return found.unique("key", keep="any").collect()


def _computed(
    new: pl.DataFrame, model: SentenceModel, folder: Path, batch_size: int
) -> list[pl.DataFrame]:
    """Compute vectors, shortest texts first, and add them to the cache as they come."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model.folder / TOKENIZER))
    tokenizer.no_padding()
    tokenizer.enable_truncation(model.max_length)
    new = new.sort(pl.col("text").str.len_chars(), maintain_order=True)
    encode = model.encoder()
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    with progress() as bars:
        bar = bars.add_task("sentence vectors", total=new.height)
        for chunk in new.iter_slices(_CHUNK):
            ids = [one.ids for one in tokenizer.encode_batch(chunk["text"].to_list())]
            order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
            batches = []
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                batches.append(encode(*_padded([ids[row] for row in rows])))
                bars.advance(bar, len(rows))
            vectors = np.concatenate(batches)
            part = pl.DataFrame({"key": chunk["key"].gather(order), "vector": _lists(vectors)})
            _write(part, folder)
            parts.append(part)
    return parts


def _lists(vectors: NDArray[np.float32]) -> pl.Series:
    width = pl.Array(pl.Float32, vectors.shape[1])
    return pl.Series(vectors, dtype=width).cast(pl.List(pl.Float32))


def _padded(ids: list[list[int]]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return ids and their mask, (n, the longest) each. (Any id pads: it is masked.)"""
    padded: Any = np.zeros((len(ids), max(map(len, ids))), np.int32)
    mask = np.zeros_like(padded)
    for row, one in enumerate(ids):
        padded[row, : len(one)] = one
        mask[row, : len(one)] = 1
    return padded, mask


def _write(part: pl.DataFrame, folder: Path) -> None:
    """Add a file to the cache, whole or not at all."""
    name = uuid.uuid4().hex
    partial = folder / f"{name}.partial"
    try:
        part.write_parquet(partial, compression="zstd")
        partial.rename(folder / f"{name}.parquet")
    finally:
        partial.unlink(missing_ok=True)
