"""The canonical tables that every source is read into."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError

from towermill.columns import Events
from towermill.errors import DataError
from towermill.features.config import Features

#: Rows of a row group in what is written here: what is read or written at a time, and what
#: statistics can skip.
ROW_GROUP = 250_000
#: The same where a row holds hundreds of ids, as histories' do.
LONG_ROW_GROUP = 20_000


@dataclass(frozen=True)
class Tables:
    """The tables of a source as lazy frames with canonical column names.

    Attributes
    ----------
    interactions
        One row an event: ``user_id``, ``item_id`` (Int64 or String), where there is one
        ``timestamp`` (Datetime in microseconds, UTC without a zone), and signals (``rating``,
        ``click`` …) and context columns under their own names.
    items, users
        One row an id: ``item_id`` or ``user_id``, then feature columns. None where there are none.
    features
        For ``user``, ``item`` and ``context``: which columns are features, and of what kind.
    dropped
        Rows left out so far, by table (or ``filters``) and reason. Not written.
    """

    events: ClassVar[Events] = "interactions"

    interactions: pl.LazyFrame
    items: pl.LazyFrame | None = None
    users: pl.LazyFrame | None = None
    features: dict[str, Features] = field(default_factory=dict)
    dropped: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def log(self) -> pl.LazyFrame:
        """The events: `interactions`."""
        return self.interactions


@dataclass(frozen=True)
class ImpressionTables:
    """The tables of a source of impressions: the items shown to each user, and the clicks.

    Item ids have one type (Int64 or String) in all columns.

    Attributes
    ----------
    impressions
        One row an impression: ``impression_id`` (Int64 or String; need not be unique), ``user_id``,
        ``timestamp`` (Datetime in microseconds, UTC without a zone), ``history_id`` (Int64; null
        for a user without a history), ``inview`` (list of item ids, in the order shown),
        ``clicked`` (list of item ids; null where the clicks are withheld), where the source has
        parts ``split`` (train, validation, test, hidden), and context columns under their own
        names.
    histories
        What users had read, once however many impressions look it up: ``history_id`` (Int64, from
        0, in the order of rows), ``user_id``, ``history`` (list of item ids, the last read last).
        A user's later history has the greater id.
    items
        One row an id: ``item_id``, where there is one ``published`` (Datetime as above), text and
        feature columns. None where the source has no items table.
    vectors
        Given vectors of items: ``item_id`` and ``vector`` (list of Float32, all of one length).
    features
        For ``item`` and ``context``: which columns are features, and of what kind.
    parts
        Part of the source that competitions have predicted (validation, test) to its ``split``.
    dropped
        See `Tables`.
    """

    events: ClassVar[Events] = "impressions"

    impressions: pl.LazyFrame
    histories: pl.LazyFrame
    items: pl.LazyFrame | None = None
    vectors: pl.LazyFrame | None = None
    features: dict[str, Features] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def log(self) -> pl.LazyFrame:
        """The events: `impressions`."""
        return self.impressions


#: Frames that hold hundreds of values a row.
_LONG = ("histories", "vectors")
#: The features that the source proposes, and the parts that it has.
FEATURES_FILE = "features.json"
#: What tables have in that file, not as frames.
_ABOUT = ("features", "parts")
_NOT_FRAMES = (*_ABOUT, "dropped")


def sink(frame: pl.LazyFrame, path: Path, group: int = ROW_GROUP) -> None:
    """Write `frame` as Parquet, streaming: compressed with zstd, in groups of `group` rows."""
    frame.sink_parquet(path, compression="zstd", row_group_size=group)


def row_count(frame: pl.LazyFrame) -> int:
    """Return the number of rows, streaming."""
    return int(frame.select(pl.len()).collect(engine="streaming").item())


class Proposal(BaseModel):
    """``features.json``: the features that a source proposes, and its parts.

    Parameters
    ----------
    version
        Version of the file; no other is read.
    features
        By entity.
    parts
        See `ImpressionTables`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1]
    features: dict[str, Features]
    parts: dict[str, str] = {}

    @classmethod
    def read(cls, folder: Path) -> Proposal:
        """Read the file; raise `DataError` if it is damaged or of another version."""
        file = folder / FEATURES_FILE
        try:
            return cls.model_validate_json(file.read_bytes())
        except ValidationError as error:
            raise DataError(
                f"Expected features of version 1 in {file}, as the `prepare` stage writes them. "
                f"Found: {error}. Run the `prepare` stage again."
            ) from error

    def write(self, folder: Path) -> None:
        """Write the file."""
        (folder / FEATURES_FILE).write_text(self.model_dump_json(indent=2, exclude_defaults=True))


def write_tables(tables: Tables | ImpressionTables, folder: Path) -> None:
    """Write ``<table>.parquet`` and ``features.json``, streaming."""
    for name in _frames(type(tables)):
        frame = getattr(tables, name)
        if frame is not None:
            group = LONG_ROW_GROUP if name in _LONG else ROW_GROUP
            sink(frame, folder / f"{name}.parquet", group)
    about = {name: getattr(tables, name) for name in _ABOUT if hasattr(tables, name)}
    Proposal(version=1, **about).write(folder)


def read_tables(folder: Path) -> Tables | ImpressionTables:
    """Return the tables that `write_tables` wrote, lazily, of the kind that was written.

    Raises
    ------
    DataError
        The folder does not hold them.
    """
    kind: type[Tables | ImpressionTables] = Tables
    if (folder / f"{ImpressionTables.events}.parquet").is_file():
        kind = ImpressionTables
    found = {name: folder / f"{name}.parquet" for name in _frames(kind)}
    needed = [found[name] for name, must in _frames(kind).items() if must]
    if not all(file.is_file() for file in [*needed, folder / FEATURES_FILE]):
        names = ", ".join(file.name for file in needed)
        other = "" if kind is ImpressionTables else " (or impressions.parquet, histories.parquet)"
        raise DataError(
            f"Expected {names}{other} and {FEATURES_FILE} in {folder}: the output of the `prepare` "
            "stage. Run it again."
        )
    content: dict[str, Any] = {n: pl.scan_parquet(f) for n, f in found.items() if f.is_file()}
    proposal = Proposal.read(folder)
    content |= {f.name: getattr(proposal, f.name) for f in fields(kind) if f.name in _ABOUT}
    return kind(**content)


def _frames(kind: type[Tables | ImpressionTables]) -> dict[str, bool]:
    """Return the names of a kind's frames, and whether each must be there."""
    return {f.name: f.default is MISSING for f in fields(kind) if f.name not in _NOT_FRAMES}
