"""The text of articles as model inputs: tokens, vectors of words, vectors of articles."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from merlin.schema import ColumnSchema, Tags
from numpy.typing import NDArray

from towermill.columns import ITEM_ID, RAW_PREFIX, TOKENS, VECTOR
from towermill.errors import DataError, did_you_mean
from towermill.processed import WORDS, TextStats
from towermill.workflows.text.config import LSA, TextConfig
from towermill.workflows.text.lsa import lsa_vectors
from towermill.workflows.text.sentences import sentence_vectors
from towermill.workflows.text.tokenizer import TextTokenizer
from towermill.workflows.text.words import word_matrix

logger = logging.getLogger(__name__)

#: The file of the recipe's section `text`, beside the tokenizer.
CONFIG = "text.json"
_KEY = RAW_PREFIX + ITEM_ID


@dataclass
class EncodedText:
    """Columns of the articles, their schema, and counts for ``stats.json``."""

    columns: list[pl.Series] = field(default_factory=list)
    schema: list[ColumnSchema] = field(default_factory=list)
    stats: TextStats | None = None


def encode_articles(
    articles: pl.DataFrame,
    trained_on: pl.Series,
    given: pl.DataFrame | None,
    config: TextConfig,
    out: Path,
    earlier: Path | None = None,
) -> EncodedText:
    """Tokenise the articles, and write tokenizer and word vectors into the folder `out`.

    Parameters
    ----------
    articles
        Raw columns as ``raw_<name>``, in the order of encoded ids.
    trained_on
        Boolean mask of the articles that a tokenizer is trained on.
    given
        Vectors of the source: raw ``item_id`` and ``vector``.
    config
        The recipe's `text` section.
    out
        Gets ``tokenizer.json``, ``words.npy`` where there are given words, and ``text.json``.
    earlier
        The same folder of a run that is continued, whose tokenizer and words are kept.

    Raises
    ------
    DataError
        A text column is missing or of lists, no training article has text, or the given vectors are
        duplicated, differ in length, are not finite, or belong to other articles.
    """
    made = EncodedText()
    out.mkdir()
    if given is not None and config.vectors:
        raise DataError(
            "Vectors of articles should come from the source or from `text.vectors`, not both. "
            "Leave one of them out."
        )
    if not any(n.startswith(RAW_PREFIX) and n != _KEY for n in articles.columns):
        logger.warning("The source has no items, and so no text: only ids can be trained on.")
    else:
        texts = joined(articles, config)
        _encode_text(texts, texts.filter(trained_on & (texts != "")), config, out, made, earlier)
        if config.vectors:
            _add_vectors(made, text_vectors(texts, config.vectors))
    if given is not None:
        _add_vectors(made, _in_order(articles, given))
    (out / CONFIG).write_text(config.model_dump_json(indent=2))
    return made


def _encode_text(
    texts: pl.Series,
    examples: pl.Series,
    config: TextConfig,
    out: Path,
    made: EncodedText,
    earlier: Path | None,
) -> None:
    if earlier is None and not len(examples):
        raise DataError(
            f"The training articles should have text in {', '.join(config.columns)}; none "
            "has. Look at the items table's ids and `text.columns`."
        )
    if earlier is not None:
        tokenizer = TextTokenizer.load(earlier)
    elif config.is_trained:
        tokenizer = TextTokenizer.train(examples, config)
    else:
        tokenizer = TextTokenizer.open(config.tokenizer)
    tokenizer.save(out)
    tokens = tokenizer.encode(texts, config.title_size).alias(TOKENS)
    dim = config.word_dim
    if config.words is not None:
        given = None if earlier is None else np.load(earlier / WORDS)
        matrix = word_matrix(config.words, tokenizer) if given is None else given
        np.save(out / WORDS, matrix)
        dim = matrix.shape[1]
    lengths = tokens.list.len()
    made.stats = TextStats(
        tokens=tokenizer.size,
        word_dim=dim,
        without_text=int((lengths == 0).sum()),
        mean_length=float(lengths.mean() or 0.0),  # type: ignore[arg-type]
    )
    made.columns.append(tokens)
    made.schema.append(
        ColumnSchema(
            TOKENS,
            dtype=np.int32,
            is_list=True,
            is_ragged=True,
            tags=[Tags.ITEM, Tags.TEXT_TOKENIZED],
            properties={
                "domain": {"min": 0, "max": tokenizer.size - 1, "name": TOKENS},
                "value_count": {"min": 0, "max": config.title_size},
            },
        )
    )


def _add_vectors(made: EncodedText, vectors: NDArray[np.float32]) -> None:
    dim = vectors.shape[1]
    made.columns.append(pl.Series(VECTOR, vectors, dtype=pl.Array(pl.Float32, dim)))
    made.schema.append(
        ColumnSchema(
            VECTOR,
            dtype=np.float32,
            is_list=True,
            is_ragged=False,
            tags=[Tags.ITEM, Tags.EMBEDDING],
            properties={"value_count": {"min": dim, "max": dim}},
        )
    )


def _in_order(articles: pl.DataFrame, given: pl.DataFrame) -> NDArray[np.float32]:
    """Return the given vectors by encoded id; zeros for articles that have none."""
    lengths = given[VECTOR].list.len()
    one_length = lengths.n_unique() == 1 and lengths[0]
    if not one_length or given[ITEM_ID].is_duplicated().any():
        raise DataError(
            "The source's vectors should be one an article, and all of one length. Found "
            f"{given.height}, of {lengths.n_unique()} lengths, for {given['item_id'].n_unique()} "
            "articles."
        )
    dim = int(lengths[0])
    found = articles.select(_KEY).join(
        given, left_on=_KEY, right_on=ITEM_ID, how="left", maintain_order="left"
    )
    logger.info("%d of %d articles have a vector", found[VECTOR].count(), found.height)
    if not found[VECTOR].count():
        raise DataError(
            f"The source's vectors should be of its articles; none of the {given.height} vectors "
            "is. Look at their ids."
        )
    nothing = pl.lit([0.0] * dim, dtype=pl.List(pl.Float32))
    filled = (
        found[VECTOR]
        .cast(pl.List(pl.Float32))
        .to_frame()
        .select(pl.col(VECTOR).fill_null(nothing).list.to_array(dim))
    )
    vectors: NDArray[np.float32] = filled.to_series().to_numpy()
    if not np.isfinite(vectors).all():  # a null is NaN here
        wrong = int((~np.isfinite(vectors).all(axis=1)).sum())
        raise DataError(
            f"The source's vectors should be finite numbers; those of {wrong} articles are not. "
            "Fix them, or leave these articles out of the vectors."
        )
    return vectors


def joined(articles: pl.DataFrame, config: TextConfig) -> pl.Series:
    """Return each article's text: the columns joined by blanks, missing ones left out."""
    held = [n.removeprefix(RAW_PREFIX) for n in articles.columns if n.startswith(RAW_PREFIX)]
    for name in config.columns:
        if name not in held:
            raise DataError(
                f"`text.columns` names {name!r}, which the items lack."
                f"{did_you_mean(name, held)} They have: {', '.join(held)}."
            )
        if (kind := articles.schema[RAW_PREFIX + name]).is_nested():
            raise DataError(
                f"`text.columns` names {name!r}, which should hold single values. Its type is "
                f"{kind}. Take another column, or join its values in the raw data."
            )
    columns = [pl.col(RAW_PREFIX + name).cast(pl.String) for name in config.columns]
    text = pl.concat_str(columns, separator=" ", ignore_nulls=True).str.strip_chars()
    return articles.select(text.fill_null("").alias("text")).to_series()


def text_vectors(texts: pl.Series, source: str) -> NDArray[np.float32]:
    """Return (n, width) float32: of the sentence model `source`, or of the texts' own words."""
    return lsa_vectors(texts) if source == LSA else sentence_vectors(texts, source)


def check_text(table: pl.LazyFrame | None, config: TextConfig) -> None:
    """Raise `DataError` if `text.vectors` is set and the source's items lack its columns."""
    if config.vectors is None:
        return
    if table is None:
        raise DataError(
            "`text.vectors` makes vectors of the items' text; the source has no items table. Give "
            "it one, or leave `text.vectors` out."
        )
    joined(_raw(table, config, head=0), config)


def add_vectors(items: Path, table: pl.LazyFrame, config: TextConfig) -> None:
    """Add ``vector``, and the text as ``raw_<name>``, to the processed items of interactions.

    Parameters
    ----------
    items
        ``items.parquet`` as `process` wrote it.
    table
        The source's items, with the columns that `config` names: see `check_text`.
    config
        The recipe's `text` section, of which `vectors` is set.
    """
    known = pl.read_parquet(items)
    key = RAW_PREFIX + ITEM_ID
    rows = known.select(key).join(_raw(table, config), on=key, how="left", maintain_order="left")
    vectors = text_vectors(joined(rows, config), str(config.vectors))
    column = pl.Series(VECTOR, vectors, dtype=pl.Array(pl.Float32, vectors.shape[1]))
    # The text too, if no feature has brought it: a run that continues this one computes vectors
    # from it.
    texts = [rows[name] for name in rows.columns if name not in known.columns]
    known.with_columns(column, *texts).write_parquet(items)


def _raw(table: pl.LazyFrame, config: TextConfig, head: int | None = None) -> pl.DataFrame:
    """Return the ids and text columns of the items that have them, as ``raw_<name>``."""
    held = table.collect_schema().names()
    rows = table.select(ITEM_ID, *(name for name in config.columns if name in held))
    if head is not None:
        rows = rows.head(head)
    return rows.collect().rename(lambda name: RAW_PREFIX + name)
