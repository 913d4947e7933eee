"""MIND's articles, and vectors of them by the entities they name."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from towermill.columns import ITEM_ID, VECTOR
from towermill.errors import DataError
from towermill.workflows.sources.news_logs.parts import first_of_each

_NEWS = (
    ITEM_ID,
    "category",
    "subcategory",
    "title",
    "abstract",
    "url",
    "title_entities",
    "abstract_entities",
)
_ENTITY = "__entity"
_WIKIDATA = r'"WikidataId":\s*"[^"]+"'


def read_news(files: list[Path]) -> pl.LazyFrame:
    """Return item_id, title, abstract, category, subcategory and entities of all `files`.

    Of an article in several files the first file's row stands.
    """
    return first_of_each([_read(file) for file in files], ITEM_ID)


def _read(file: Path) -> pl.LazyFrame:
    raw = pl.scan_csv(
        file,
        separator="\t",
        has_header=False,
        quote_char=None,  # headlines hold quotes, and lone ones
        schema=dict.fromkeys(_NEWS, pl.String),
        glob=False,
    )
    both = pl.concat_str("title_entities", "abstract_entities", ignore_nulls=True)
    entities = (
        both.str.extract_all(_WIKIDATA)
        .list.eval(pl.element().str.extract(r'"([^"]+)"$'))
        .list.unique(maintain_order=True)
    )
    columns = ("title", "abstract", "category", "subcategory")
    return raw.select(ITEM_ID, *columns, entities.alias("entities"))


def write_vectors(items: pl.LazyFrame, files: list[Path], scratch: Path) -> pl.LazyFrame:
    """Write, by rising item_id, the mean of the vectors of each item's entities, and return them.

    Raises
    ------
    DataError
        A file does not hold an entity and numbers in each line.
    """
    known = first_of_each([_read_embeddings(file) for file in files], _ENTITY)
    wide = [name for name in known.collect_schema().names() if name != _ENTITY]
    pairs = items.select(ITEM_ID, pl.col("entities").alias(_ENTITY)).explode(_ENTITY)
    file = scratch / "vectors.parquet"
    (
        pairs.join(known, on=_ENTITY)
        .group_by(ITEM_ID)
        .agg(pl.col(wide).mean())
        .sort(ITEM_ID)
        .select(ITEM_ID, pl.concat_list(wide).cast(pl.List(pl.Float32)).alias(VECTOR))
        .sink_parquet(file)
    )
    return pl.scan_parquet(file, glob=False)


def _read_embeddings(file: Path) -> pl.LazyFrame:
    with file.open(encoding="utf-8") as lines:
        fields = lines.readline().rstrip("\r\n").split("\t")
    # Lines may end in a tab.
    width = len(fields) - 1 - (fields[-1] == "")
    if width < 1:
        raise DataError(
            f"{file} should hold, in each line, an entity and numbers, separated by tabs. "
            f"Received: {fields[0][:60]!r}."
        )
    numbers = [f"e{i}" for i in range(width)]
    rest = ["__rest"] if len(fields) - 1 > width else []
    schema: dict[str, type[pl.DataType]] = {_ENTITY: pl.String}
    schema |= dict.fromkeys(numbers, pl.Float64) | dict.fromkeys(rest, pl.String)
    raw = pl.scan_csv(
        file, separator="\t", has_header=False, quote_char=None, schema=schema, glob=False
    )
    return raw.select(_ENTITY, *numbers)
