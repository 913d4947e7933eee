"""Ali-CCP: 85 million logged exposures of Taobao, with clicks and conversions."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Literal, Self

import polars as pl

from towermill.columns import ITEM_ID, SPLIT, USER_ID
from towermill.errors import DataError
from towermill.features.config import Feature, Features
from towermill.workflows.sources.aliccp_raw import raw_files, scan_raw
from towermill.workflows.sources.base import SourceConfig
from towermill.workflows.sources.reading.casting import require
from towermill.workflows.sources.reading.files import scan
from towermill.workflows.sources.reading.formats import kind_of
from towermill.workflows.sources.reading.options import ReadingOptions
from towermill.workflows.sources.reading.raw_table import column_names
from towermill.workflows.tables import Tables

logger = logging.getLogger(__name__)

#: Field numbers of the raw data, and the names under which Merlin publishes them.
USER_FIELDS = {
    "101": USER_ID,
    "121": "user_profile",
    "122": "user_group",
    "124": "user_gender",
    "125": "user_age",
    "126": "user_consumption_1",
    "127": "user_consumption_2",
    "128": "user_is_occupied",
    "129": "user_geography",
    "109_14": "user_categories",
    "110_14": "user_shops",
    "127_14": "user_brands",
    "150_14": "user_intentions",
}
ITEM_FIELDS = {
    "205": ITEM_ID,
    "206": "item_category",
    "207": "item_shop",
    "210": "item_intention",
    "216": "item_brand",
}
#: What the exposure itself has: where it stood, and what its user did with the like of its item.
CONTEXT_FIELDS = {
    "508": "user_item_categories",
    "509": "user_item_shops",
    "702": "user_item_brands",
    "853": "user_item_intentions",
    "301": "position",
}
#: The features of the published two-tower example.
DEFAULT_ITEM_FEATURES = ("item_category", "item_shop", "item_brand")
DEFAULT_USER_FEATURES = (
    "user_shops",
    "user_profile",
    "user_group",
    "user_gender",
    "user_age",
    "user_consumption_2",
    "user_is_occupied",
    "user_geography",
    "user_intentions",
    "user_brands",
    "user_categories",
)
_SPLITS = {
    "train": "train",
    "valid": "validation",
    "val": "validation",
    "validation": "validation",
    "test": "test",
}


class AliCCP(SourceConfig):
    """Read Ali-CCP from the Tianchi download, from Parquet, or from CSV with numbered fields.

    The layout depends on what the folder holds: `sample_skeleton_train.csv` with
    `common_features_train.csv` (and the same for test); ``*.parquet`` with the names that Merlin
    publishes; or ``*.csv`` with field numbers as names. The last two may be in ``train/``,
    ``validation/`` and ``test/``.

    Interactions have ``click`` and ``conversion`` (Int8), ``position`` and ``user_item_*`` where
    the files have them, and ``split`` (train, validation or test) where the files or their folders
    are named so; there is no timestamp. All fields are Int64. A field of several values, as the raw
    download has them, gives the one of the largest weight, the first of equals. Logs repeat a
    user's (and an item's) fields in each row, sometimes with others: in `users` and `items` the
    most frequent combination stands, the earliest of equally frequent ones.

    Parameters
    ----------
    path
        The folder.
    on_null_id
        Whether interactions without a user or item id, of which the real data has many, are
        counted and dropped (``drop``) or an ``error`` (for `check_interactions`; `read`
        leaves them where they are).
    """

    kind: str = "aliccp"
    path: str
    on_null_id: Literal["error", "drop"] = "drop"

    @classmethod
    def recognise(cls, folder: str) -> Self | None:
        """Return the source of a folder with the Tianchi download, or with columns as Merlin's."""
        found = cls(path=folder)
        place = found._folder()
        if raw_files(place):
            return found
        names = set(column_names([found._plain_files(place)[0][1]], ReadingOptions()))
        known = [name for field, name in USER_FIELDS.items() if {field, name} & names]
        return found if "click" in names and len(known) > len(USER_FIELDS) / 2 else None

    @property
    def starting_recipe(self) -> str:
        """The published retrieval example."""
        return "ali-ccp"

    @property
    def gives_splits(self) -> bool:
        """Whether files or folders are named train and test."""
        folder = self._folder()
        return len(raw_files(folder)) > 1 or (
            not raw_files(folder) and self._plain_files(folder)[0][0] is not None
        )

    def files(self) -> list[Path]:
        """Return all files of the layout found."""
        folder = self._folder()
        if raw := raw_files(folder):
            return [file for pair in raw.values() for file in pair]
        return [file for _, file in self._plain_files(folder)]

    def read(self, scratch: Path) -> Tables:
        """Return the tables; `items` and `users` are aggregated from the log when collected.

        The raw layout is parsed once, into `scratch`: four passes over the log follow.
        """
        folder = self._folder()
        if raw := raw_files(folder):
            fields = {**ITEM_FIELDS, **CONTEXT_FIELDS}
            parts = []
            for part, pair in raw.items():
                parsed = scratch / f"{part}.parquet"
                scan_raw(*pair, fields, USER_FIELDS).sink_parquet(parsed)
                parts.append(pl.scan_parquet(parsed).with_columns(pl.lit(part).alias(SPLIT)))
        else:
            parts = self._scan_plain(self._plain_files(folder), scratch)
        log = pl.concat(parts, how="diagonal")
        names = log.collect_schema().names()
        context = [name for name in CONTEXT_FIELDS.values() if name in names]
        context += [SPLIT] if SPLIT in names else []
        signals = [name for name in ("click", "conversion") if name in names]
        users = [name for name in USER_FIELDS.values() if name in names and name != USER_ID]
        items = [name for name in ITEM_FIELDS.values() if name in names and name != ITEM_ID]
        # What later rows say of an id must not reach the training split.
        train = pl.col(SPLIT) == "train" if SPLIT in names else pl.lit(True)
        return Tables(
            interactions=log.select(USER_ID, ITEM_ID, *signals, *context),
            items=most_frequent(log, ITEM_ID, items, train),
            users=most_frequent(log, USER_ID, users, train),
            features={
                "user": default_features(_with_values(log.filter(train), users)),
                "item": default_features(_with_values(log.filter(train), items)),
            },
        )

    def _folder(self) -> Path:
        folder = Path(self.path).expanduser()
        if not folder.is_dir():
            raise DataError(
                f"`source.path` should be a folder. Nothing, or a file, is at {folder} "
                f"(working directory: {Path.cwd()})."
            )
        return folder

    def _plain_files(self, folder: Path) -> list[tuple[str | None, Path]]:
        """Return (split or None, file), splits in the order train, validation, test."""
        places = [folder, *(folder / name for name in _SPLITS)]
        for form in ("parquet", "csv"):
            found = [
                (_split_of(file, folder), file)
                for place in places
                if place.is_dir()
                for file in sorted(place.iterdir())
                if _form(file) == form and file.name[0] not in "._"
            ]
            if not found:
                continue
            named = {part for part, _ in found}
            if None in named and len(named) > 1:
                odd = next(file for part, file in found if part is None)
                raise DataError(
                    f"`source.path`: some files in {folder} are named after a split, but {odd} is "
                    "not. Name it train, validation or test, or take it away."
                )
            order = (None, "train", "validation", "test")
            return [entry for part in order for entry in found if entry[0] == part]
        raise DataError(
            "`source.path` should be a folder with sample_skeleton_train.csv and "
            "common_features_train.csv, or with *.parquet or *.csv files (directly, or in train/, "
            f"validation/, test/). Found none of these in {folder}."
        )

    def _scan_plain(
        self, files: list[tuple[str | None, Path]], scratch: Path
    ) -> list[pl.LazyFrame]:
        numbered = {**USER_FIELDS, **ITEM_FIELDS, **CONTEXT_FIELDS, "purchase": "conversion"}
        wanted = dict.fromkeys([*numbered.values(), "click"])
        parts = []
        for part, file in files:
            raw = scan([file], scratch=scratch)
            old = raw.collect_schema().names()
            raw = raw.rename({k: v for k, v in numbered.items() if k in old and v not in old})
            require(raw.collect_schema().names(), [USER_ID, ITEM_ID, "click"], str(file))
            schema = raw.collect_schema()
            columns = [_integer(name, schema[name]) for name in wanted if name in schema.names()]
            frame = raw.select(columns)
            parts.append(frame if part is None else frame.with_columns(pl.lit(part).alias(SPLIT)))
        return parts


def _form(file: Path) -> str | None:
    kind = kind_of(file)
    return None if kind is None else kind.form


def _split_of(file: Path, folder: Path) -> str | None:
    """Return the split after which a file's folder below `folder`, or the file, is named."""
    if file.parent != folder:
        return _SPLITS.get(file.parent.name)
    words = re.split(r"[^a-z]+", file.name.lower())
    return next((_SPLITS[word] for word in words if word in _SPLITS), None)


def _integer(name: str, kind: pl.DataType) -> pl.Expr:
    # Ids that have nulls may have become floats, and one-valued lists lists, on their way here.
    col = pl.col(name).list.first() if isinstance(kind, pl.List) else pl.col(name)
    inner = kind.inner if isinstance(kind, pl.List) else kind
    if isinstance(inner, pl.DataType) and inner.is_float():
        col = col.fill_nan(None)
    return col.cast(pl.Int8 if name in ("click", "conversion") else pl.Int64)


def _with_values(log: pl.LazyFrame, columns: list[str]) -> list[str]:
    """Return the columns that have any value: no vocabulary can be made of the others."""
    counts = log.select(pl.col(columns).count()).collect(engine="streaming")
    empty = [name for name in columns if not counts[name].item()]
    if empty:
        logger.info("No features, as no training row has a value: %s", ", ".join(empty))
    return [name for name in columns if name not in empty]


def default_features(columns: list[str]) -> Features:
    """Return those of the published example's features that `columns` have, all categories."""
    wanted = (*DEFAULT_ITEM_FEATURES, *DEFAULT_USER_FEATURES)
    return {name: Feature() for name in wanted if name in columns}


def most_frequent(log: pl.LazyFrame, key: str, columns: list[str], train: pl.Expr) -> pl.LazyFrame:
    """Return one row a non-null `key`, by rising key: its most frequent combination of `columns`.

    Rows that are `train` count alone, the others only for a key that has none. Of equally frequent
    combinations that which comes first in `log` stands.
    """
    count, place, known = "__count", "__place", "__train"
    return (
        log.select(key, *columns, train.alias(known))
        .with_row_index(place)
        .filter(pl.col(key).is_not_null())
        .group_by(key, *columns)
        .agg(pl.len().alias(count), pl.col(place).min(), pl.col(known).sum())
        .sort(key, known, count, place, descending=[False, True, True, False])
        .unique(key, keep="first", maintain_order=True)
        .select(key, *columns)
    )
