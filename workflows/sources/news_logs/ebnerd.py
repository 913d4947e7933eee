"""EB-NeRD: what Ekstra Bladet showed its readers, and what they clicked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

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
from towermill.features.shared.times import time_expr
from towermill.workflows.sources.base import SourceConfig
from towermill.workflows.sources.news_logs.ebnerd_articles import (
    ITEM_FEATURES,
    read_articles,
    read_vectors,
)
from towermill.workflows.sources.news_logs.parts import (
    PARTS,
    TEST,
    TRAIN,
    Parted,
    as_rows,
    latest_time,
    predicted_parts,
    source_folder,
    splits_of_parts,
)
from towermill.workflows.sources.reading.casting import id_expr, id_list_expr, require
from towermill.workflows.sources.reading.files import find_files, scan
from towermill.workflows.tables import LONG_ROW_GROUP, ImpressionTables, Tables, row_count, sink

#: Role to the columns that have it: of the release, and of an earlier one.
_BEHAVIORS = {
    IMPRESSION_ID: ("impression_id",),
    USER_ID: ("user_id",),
    TIMESTAMP: ("impression_time", "first_page_time"),
    INVIEW: ("article_ids_inview", "article_ids"),
}
_CLICKS = ("article_ids_clicked", "list_destination")
#: What is known of an impression besides, and may be made a feature.
_CONTEXT: dict[str, type[pl.DataType]] = {
    "device_type": pl.Int32,
    "is_sso_user": pl.Boolean,
    "is_subscriber": pl.Boolean,
    "gender": pl.Int32,
    "age": pl.Int32,
    "postcode": pl.Int32,
    "is_beyond_accuracy": pl.Boolean,
}


@dataclass(frozen=True)
class _Part:
    name: str
    folder: Path

    @property
    def behaviors(self) -> Path:
        return self.folder / "behaviors.parquet"

    @property
    def history(self) -> Path:
        return self.folder / "history.parquet"

    @property
    def whole(self) -> bool:
        return self.behaviors.is_file() and self.history.is_file()


class EbNerd(Parted, SourceConfig):
    """Read EB-NeRD (demo, small, large, with or without the test set), as unpacked.

    The folder has the parts ``train``, ``validation`` and ``test``, each with
    ``behaviors.parquet`` and ``history.parquet``, and beside them ``articles.parquet``; only train
    must be there. Or it holds the two files of one part directly. The columns of an earlier
    release (``first_page_time``, ``article_ids``, ``list_destination``) are known as well.

    **Splits.** The last `validation_days` days of train are ``validation`` and the rest ``train``;
    validation is ``test``, which results are reported on; test, whose clicks are not told (none
    are read), is ``hidden``. Without validation but with test, the last days of train are ``test``
    and as many before them ``validation``. One part alone has no ``split``. See
    `towermill.workflows.sources.news_logs.parts.splits_of_parts`.

    **Histories.** One per user and part, and an impression uses that of its own part: histories of
    the later parts hold what was clicked in the earlier ones. Nulls in a history are dropped, and
    an empty history counts as none.

    Items have ``published``, ``title``, ``subtitle``, ``body``, ``category`` (its name, where the
    articles give one), ``subcategory``, ``topics``, ``ner_clusters``, ``entity_groups``,
    ``premium``, ``article_type``, ``sentiment_label`` and ``sentiment_score``, where the file has
    them. Its counts of views and reading time are left out: they were taken over the whole
    period, test included. Impressions keep ``device_type``, ``is_sso_user``, ``is_subscriber``,
    ``gender``, ``age``, ``postcode`` and, of the test part, ``is_beyond_accuracy``.

    Parameters
    ----------
    path
        The folder.
    test_path
        The folder of the test set, which is a separate download: with ``test/``, or with the
        part's files. Articles missing from `path` are taken from its ``articles.parquet``.
    vectors
        A Parquet file, or folder of them, with ``article_id`` and one column of lists of floats,
        as EB-NeRD's artifacts are: given vectors of the items.
    validation_days
        Days, of 24 hours each, counted back from train's last impression.
    rows
        ``impressions``; or ``clicks``, the clicked articles as plain interactions (`Tables`),
        which a recipe for collaborative models reads. Then there are no hidden rows.
    """

    kind: str = "ebnerd"
    path: str
    test_path: str | None = None
    vectors: str | None = None
    validation_days: int = Field(default=1, ge=1)
    rows: Literal["impressions", "clicks"] = "impressions"

    def files(self) -> list[Path]:
        """Return the parts' behaviors and histories, then articles, then vectors."""
        parts = [file for part in self._parts() for file in (part.behaviors, part.history)]
        return [*parts, *self._articles(), *self._vectors()]

    def read(self, scratch: Path) -> ImpressionTables | Tables:
        """Return the tables; histories are written to `scratch` once, and looked up there."""
        parts = self._parts()
        behaviors = {part.name: _read_behaviors(part) for part in parts}
        splits = None
        if len(parts) > 1:
            latest = latest_time(behaviors[TRAIN])
            splits = splits_of_parts(behaviors, latest, self.validation_days)
        histories, impressions = [], []
        first = 0
        for part in parts:
            history = _write_history(part, first, scratch)
            first += row_count(history)
            frame = behaviors[part.name].join(
                history.select(USER_ID, HISTORY_ID), on=USER_ID, how="left", maintain_order="left"
            )
            if splits is not None:
                frame = frame.with_columns(splits[part.name].alias(SPLIT))
            histories.append(history)
            impressions.append(frame)
        articles, vectors = self._articles(), self._vectors()
        items = read_articles(articles) if articles else None
        names = [] if items is None else items.collect_schema().names()
        tables = ImpressionTables(
            impressions=pl.concat(impressions, how="diagonal"),
            histories=pl.concat(histories),
            items=items,
            vectors=read_vectors(vectors) if vectors else None,
            features={"item": {k: spec for k, spec in ITEM_FEATURES.items() if k in names}},
            parts=predicted_parts([part.name for part in parts]),
        )
        return as_rows(tables, self.rows)

    def _parts(self) -> list[_Part]:
        folder = source_folder(self.path, "source.path")
        single = _Part(TRAIN, folder)
        found = {
            name: _Part(name, folder / name) for name in PARTS if (folder / name).is_dir()
        } or ({TRAIN: single} if single.whole else {})
        if self.test_path is not None:
            if TEST in found:
                raise DataError(
                    f"`source.test_path` names a test part, but {folder} has one as well. Leave "
                    "out one of the two."
                )
            outer = source_folder(self.test_path, "source.test_path")
            found[TEST] = _Part(TEST, outer / TEST if (outer / TEST).is_dir() else outer)
        lacking = [part for part in found.values() if not part.whole]
        if TRAIN not in found or lacking:
            where = lacking[0].folder if lacking else folder
            here = ", ".join(sorted(p.name for p in where.iterdir())[:10]) or "nothing"
            raise DataError(
                "`source.path` should be a folder with train/ (and validation/, test/), each with "
                "behaviors.parquet and history.parquet, or with these two files. "
                f"Found in {where}: {here}."
            )
        return list(found.values())

    def _articles(self) -> list[Path]:
        folders = [Path(path).expanduser() for path in (self.path, self.test_path) if path]
        # The test set's zip puts the articles beside the part, wherever `test_path` points to.
        places = [*folders, *(outer.parent for outer in folders[1:] if outer.name == TEST)]
        files = [folder / "articles.parquet" for folder in places]
        return [file for file in files if file.is_file()]

    def _vectors(self) -> list[Path]:
        return [] if self.vectors is None else find_files(self.vectors, "source.vectors")


def _column(names: list[str], known: tuple[str, ...], what: Path) -> str:
    """Return the first of `known` that the file has."""
    for column in known:
        if column in names:
            return column
    raise DataError(
        f"{what} should have a column {known[0]!r}"
        + (f" ({', '.join(known[1:])!r} in an earlier release)" if known[1:] else "")
        + f". Found: {', '.join(names)}."
    )


def _read_behaviors(part: _Part) -> pl.LazyFrame:
    raw = scan([part.behaviors])
    what, schema = str(part.behaviors), raw.collect_schema()
    names = schema.names()
    role = {name: _column(names, known, part.behaviors) for name, known in _BEHAVIORS.items()}
    inview = id_list_expr(raw, role[INVIEW], what)
    kind = raw.select(inview).collect_schema()[role[INVIEW]]
    if part.name == TEST:
        clicked = pl.lit(None, kind)
    else:
        clicked = id_list_expr(raw, _column(names, _CLICKS, part.behaviors), what)
        clicked = clicked.list.drop_nulls()
    return raw.select(
        id_expr(raw, role[IMPRESSION_ID], what).alias(IMPRESSION_ID),
        id_expr(raw, role[USER_ID], what).alias(USER_ID),
        time_expr(raw, role[TIMESTAMP], what).alias(TIMESTAMP),
        inview.fill_null([]).alias(INVIEW),
        clicked.alias(CLICKED),
        *(_context(name, schema[name]) for name in _CONTEXT if name in names),
    )


def _context(name: str, kind: pl.DataType) -> pl.Expr:
    # Of integers that have nulls, pandas makes floats.
    col = pl.col(name).fill_nan(None) if kind.is_float() else pl.col(name)
    return col.cast(_CONTEXT[name])


def _write_history(part: _Part, first: int, scratch: Path) -> pl.LazyFrame:
    """Write history_id (from `first`), user_id and history, and return them."""
    raw = scan([part.history])
    what = str(part.history)
    require(raw.collect_schema().names(), [USER_ID, "article_id_fixed"], what)
    file = scratch / f"history-{part.name}.parquet"
    frame = (
        raw.select(
            id_expr(raw, USER_ID, what).alias(USER_ID),
            id_list_expr(raw, "article_id_fixed", what).list.drop_nulls().alias(HISTORY),
        )
        .filter(pl.col(HISTORY).list.len() > 0)
        .with_row_index(HISTORY_ID, offset=first)
        .select(pl.col(HISTORY_ID).cast(pl.Int64), USER_ID, HISTORY)
    )
    sink(frame, file, LONG_ROW_GROUP)
    history = pl.scan_parquet(file, glob=False)
    # Looked up by a join, a user with two rows would have every impression twice.
    twice = (history.group_by(USER_ID).len().filter(pl.col("len") > 1).sort(USER_ID)).collect(
        engine="streaming"
    )
    if twice.height:
        raise DataError(
            f"{part.history} should have one row a user. {twice.height} users have more, such as "
            f"{twice[USER_ID][0]!r}. Keep one row of each."
        )
    return history
