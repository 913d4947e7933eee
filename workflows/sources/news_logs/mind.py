"""MIND: what Microsoft News showed its readers, and what they clicked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import polars as pl
from pydantic import Field

from towermill.columns import (
    CLICKED,
    HISTORY,
    HISTORY_ID,
    IMPRESSION_ID,
    INVIEW,
    SPLIT,
    TIMESTAMP,
    USER_ID,
)
from towermill.errors import DataError
from towermill.features.config import Feature, Features
from towermill.workflows.sources.base import SourceConfig
from towermill.workflows.sources.news_logs.mind_labels import require_labels
from towermill.workflows.sources.news_logs.mind_news import read_news, write_vectors
from towermill.workflows.sources.news_logs.parts import (
    PARTS,
    TEST,
    TRAIN,
    VALIDATION,
    Parted,
    as_rows,
    latest_time,
    predicted_parts,
    source_folder,
    splits_of_parts,
)
from towermill.workflows.tables import LONG_ROW_GROUP, ImpressionTables, Tables, row_count, sink

_BEHAVIORS = {
    IMPRESSION_ID: pl.Int64,
    USER_ID: pl.String,
    TIMESTAMP: pl.String,
    HISTORY: pl.String,
    INVIEW: pl.String,
}
_FORMAT = "%m/%d/%Y %I:%M:%S %p"
#: How the name of a part's folder ends.
_PART = re.compile(r"(?:^|[^a-z])(train|dev|valid|validation|test)$", re.IGNORECASE)
_PART_OF = {
    "train": TRAIN,
    "dev": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "test": TEST,
}
_FIRST = "__first"
_ITEM_FEATURES: Features = {
    "title": Feature(kind="title"),
    "category": Feature(),
    "subcategory": Feature(),
}


@dataclass(frozen=True)
class _Part:
    name: str
    folder: Path

    @property
    def behaviors(self) -> Path:
        return self.folder / "behaviors.tsv"

    @property
    def news(self) -> Path:
        return self.folder / "news.tsv"

    @property
    def entities(self) -> Path:
        return self.folder / "entity_embedding.vec"


class Mind(Parted, SourceConfig):
    """Read MIND (small, large), as unpacked.

    The folder has a folder for each part, whose name ends in ``train``, ``dev`` (or ``valid``) or
    ``test`` (``MINDsmall_train`` …), each with ``behaviors.tsv`` and ``news.tsv``; only train must
    be there. Or it holds the files of one part directly.

    **Splits.** The last `validation_days` days of train are ``validation`` and the rest ``train``;
    dev is ``test``, which results are reported on; test, whose clicks are not told, is ``hidden``.
    Without dev but with test, the last days of train are ``test`` and as many before them
    ``validation``. One part alone has no ``split``.

    **Histories.** MIND writes a user's history into each of their impressions: here it stands
    once for each part, user and different history, parts in the order of time and, in a part, in
    that of the first impression each was seen with.

    Ids are text, but impressions' integers. Items, of all parts one row an id, have ``title``,
    ``abstract``, ``category``, ``subcategory`` and ``entities`` (the Wikidata ids found in title
    and abstract, each once); MIND tells no time of publication. A row of behaviors of which no
    item is labelled has null for ``clicked``.

    Parameters
    ----------
    path
        The folder.
    vectors
        ``entities``: the vector of an item is the mean of those of its entities, by the parts'
        ``entity_embedding.vec``; items without such an entity have none.
    validation_days
        Days, of 24 hours each, counted back from train's last impression.
    rows
        ``impressions``; or ``clicks``, the clicked articles as plain interactions (`Tables`),
        which a recipe for collaborative models reads. Then there are no hidden rows.
    """

    predictions_file: ClassVar[str] = "prediction.txt"

    kind: str = "mind"
    path: str
    vectors: Literal["entities"] | None = None
    validation_days: int = Field(default=1, ge=1)
    rows: Literal["impressions", "clicks"] = "impressions"

    def files(self) -> list[Path]:
        """Return the parts' behaviors and news, then the entities' vectors."""
        parts = self._parts()
        files = [file for part in parts for file in (part.behaviors, part.news)]
        return [*files, *self._entities(parts)]

    def read(self, scratch: Path) -> ImpressionTables | Tables:
        """Return the tables; text is parsed once, into `scratch`."""
        parts = self._parts()
        splits = None
        if len(parts) > 1:
            latest = latest_time(_scan(parts[0]))
            splits = splits_of_parts([part.name for part in parts], latest, self.validation_days)
        histories, impressions = [], []
        first = 0
        for part in parts:
            require_labels(_scan(part), part.behaviors)
            known = _write_histories(part, first, scratch)
            first += row_count(known)
            frame = _impressions(_scan(part), known, told=part.name != TEST)
            if splits is not None:
                frame = frame.with_columns(splits[part.name].alias(SPLIT))
            file = scratch / f"impressions-{part.name}.parquet"
            sink(frame, file)
            impressions.append(pl.scan_parquet(file, glob=False))
            histories.append(known.with_columns(_ids(HISTORY)))
        items = read_news([part.news for part in parts])
        entities = self._entities(parts)
        tables = ImpressionTables(
            impressions=pl.concat(impressions),
            histories=pl.concat(histories),
            items=items,
            vectors=write_vectors(items, entities, scratch) if entities else None,
            features={"item": dict(_ITEM_FEATURES)},
            parts=predicted_parts([part.name for part in parts]),
        )
        return as_rows(tables, self.rows)

    def _parts(self) -> list[_Part]:
        folder = source_folder(self.path, "source.path")
        found: dict[str, _Part] = {}
        for inner in sorted(folder.iterdir()):
            match = _PART.search(inner.name)
            if match is None or not (inner / "behaviors.tsv").is_file():
                continue
            part = _Part(_PART_OF[match[1].lower()], inner)
            if part.name in found:
                raise DataError(
                    f"`source.path`: {found[part.name].folder.name} and {inner.name} in {folder} "
                    f"are both the part {match[1]!r}. Move one of them elsewhere."
                )
            found[part.name] = part
        if not found and (folder / "behaviors.tsv").is_file():
            found = {TRAIN: _Part(TRAIN, folder)}
        if TRAIN not in found:
            here = ", ".join(sorted(p.name for p in folder.iterdir())[:10]) or "nothing"
            raise DataError(
                "`source.path` should be a folder with folders whose names end in train (and dev, "
                "test), each with behaviors.tsv and news.tsv, or with these two files. "
                f"Found in {folder}: {here}."
            )
        for part in found.values():
            if not part.news.is_file():
                raise DataError(f"{part.folder} should have news.tsv beside behaviors.tsv.")
        return [found[name] for name in PARTS if name in found]

    def _entities(self, parts: list[_Part]) -> list[Path]:
        if self.vectors is None:
            return []
        files = [part.entities for part in parts if part.entities.is_file()]
        if not files:
            raise DataError(
                f"`source.vectors: entities` reads {parts[0].entities.name} beside behaviors.tsv. "
                f"Found none in {', '.join(str(part.folder) for part in parts)}."
            )
        return files


def _scan(part: _Part) -> pl.LazyFrame:
    """Return the part's behaviors: times parsed, both lists still text."""
    raw = pl.scan_csv(
        part.behaviors,
        separator="\t",
        has_header=False,
        quote_char=None,
        schema=_BEHAVIORS,
        glob=False,
    )
    return raw.with_columns(
        pl.col(TIMESTAMP).str.strip_chars().str.to_datetime(_FORMAT, time_unit="us"),
        pl.col(HISTORY).str.strip_chars(),
    )


def _ids(column: str) -> pl.Expr:
    """Return the words of a text, which none has if there is no text."""
    return pl.col(column).fill_null("").str.extract_all(r"\S+")


def _write_histories(part: _Part, first: int, scratch: Path) -> pl.LazyFrame:
    """Write history_id (from `first`), user_id and history, which is still text."""
    file = scratch / f"history-{part.name}.parquet"
    frame = (
        _scan(part)
        .filter(pl.col(HISTORY).str.len_bytes() > 0)
        .with_row_index(_FIRST)
        .group_by(USER_ID, HISTORY)
        .agg(pl.col(TIMESTAMP).min(), pl.col(_FIRST).min())
        # Impressions are not in the order of time: of a user's histories the later is the greater.
        .sort(TIMESTAMP, _FIRST)
        .with_row_index(HISTORY_ID, offset=first)
        .select(pl.col(HISTORY_ID).cast(pl.Int64), USER_ID, HISTORY)
    )
    sink(frame, file, LONG_ROW_GROUP)
    return pl.scan_parquet(file, glob=False)


def _impressions(raw: pl.LazyFrame, histories: pl.LazyFrame, *, told: bool) -> pl.LazyFrame:
    shown = _ids(INVIEW)
    labelled = pl.col(INVIEW).str.contains(r"-[01](\s|$)")
    clicked = (
        shown.list.filter(pl.element().str.ends_with("-1"))
        .list.eval(pl.element().str.strip_suffix("-1"))
        .alias(CLICKED)
    )
    none = pl.lit(None, pl.List(pl.String))
    return raw.join(histories, on=[USER_ID, HISTORY], how="left", maintain_order="left").select(
        IMPRESSION_ID,
        USER_ID,
        TIMESTAMP,
        HISTORY_ID,
        shown.list.eval(pl.element().str.replace(r"-[01]$", "")).alias(INVIEW),
        (pl.when(labelled).then(clicked).otherwise(none) if told else none).alias(CLICKED),
    )
