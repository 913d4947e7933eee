"""The processed folder, which `workflows` writes and `models` reads, and counts of its data."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from towermill.columns import HIDDEN, Entity, Events
from towermill.errors import DataError
from towermill.features.config import Features

#: Splits that a processed folder may hold. Only impressions have hidden ones.
SPLITS: Final = ("train", "validation", "test", HIDDEN)
#: Those of interactions, oldest first.
RANKED_SPLITS: Final = SPLITS[:3]
#: In the folder of text: the given word vectors.
WORDS: Final = "words.npy"
#: Version of ``stats.json``. Version 1 had no summary.
VERSION: Final = 2
_READABLE: Final = (1, VERSION)


class ProcessedFolder:
    """The paths of the parts of a processed data set.

    Encoded ids are int32, lists are lists of int32, numbers are float32.

    Parameters
    ----------
    path
        The folder.

    Attributes
    ----------
    users, items
        Parquet, one row per known id, by encoded id from 3: encoded features, raw columns as
        ``raw_<name>``, and ``train_count``, the occurrences of the id in training (of articles:
        their clicks). Users of impressions, and with `features.history`, have their latest
        ``history``; items may have ``vector``, and of impressions ``tokens`` and ``published``.
    seen
        Parquet: the known items that each known user has interacted with, over the whole log.
    seen_before
        The same of the run being continued; only in a continued run of interactions.
    sequences
        Parquet, only of interactions with `features.history`: ``user_id``, and for each split the
        list of the user's items, oldest first.
    histories
        Parquet, only of impressions: row i is what ``history_id`` i had read, the most recent
        article last. Row 0 is the empty history.
    schema
        Merlin's schema: all that a model is built from.
    workflow
        The fitted NVTabular workflow.
    text, words
        Folder of the tokenizer, and in it the given word vectors (NumPy); only of impressions.
    stats
        JSON: see `Stats`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from towermill.processed import ProcessedFolder
    >>> ProcessedFolder(Path("out")).split("train").as_posix()
    'out/train'
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.users, self.items = self.table("user"), self.table("item")
        self.seen, self.seen_before = path / "seen.parquet", path / "seen_before.parquet"
        self.sequences, self.histories = path / "sequences.parquet", path / "histories.parquet"
        self.schema, self.workflow = path / "schema.pbtxt", path / "workflow"
        self.text, self.words = path / "text", path / "text" / WORDS
        self.stats = path / "stats.json"

    def split(self, name: str) -> Path:
        """Return the folder with the Parquet files of a split."""
        return self.path / name

    def table(self, entity: Entity) -> Path:
        """Return the Parquet file of users or items."""
        return self.path / f"{entity}s.parquet"


class TextStats(BaseModel):
    """The description of the articles' processed text.

    Parameters
    ----------
    tokens
        Size of the tokenizer's vocabulary.
    word_dim
        Length of a word vector.
    without_text
        Articles without a token.
    mean_length
        Mean number of tokens per article.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens: int
    word_dim: int
    without_text: int = 0
    mean_length: float = 0.0


class SplitCounts(BaseModel):
    """The rows of a split, before and after rows were dropped from it.

    Parameters
    ----------
    assigned_rows, assigned_users
        Rows that the split began with, and their distinct users.
    rows, users
        What is left of them.
    first, last
        First and last timestamp of the rows left; None without times.
    cold_users, cold_items
        Of the rows begun with, those whose user, or else whose item, has no training row.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    assigned_rows: int
    assigned_users: int
    rows: int
    users: int
    first: datetime | None = None
    last: datetime | None = None
    cold_users: int = 0
    cold_items: int = 0


class Summary(BaseModel):
    """The rows that a stage read and dropped, and what the rest holds.

    Parameters
    ----------
    events
        What a row is: see `Events`.
    read
        Rows of events that were read.
    rows
        Rows that are left.
    dropped
        Dropped rows by reason, for each place that dropped some: a table of the source
        (``interactions``, ``items`` …), ``filters``, or a split.
    users, items
        Distinct ids of the rows that are left; after `process`, those that training knows.
    first, last
        First and last timestamp of the rows that are left; None without times.
    matched
        Shares of rows: after `prepare`, those that find their id in ``items`` and ``users``; after
        `process`, for each split, those whose user and item have a training row (before any were
        dropped).
    splits
        The splits; after `process` only.

    Examples
    --------
    >>> from towermill.processed import Summary
    >>> dropped = {"interactions": {"null id": 1, "number of fields": 1}}
    >>> Summary(events="interactions", read=9, rows=7, users=2, items=3, dropped=dropped).rows
    7
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    events: Events
    read: int
    rows: int
    dropped: dict[str, dict[str, int]] = {}
    users: int
    items: int
    first: datetime | None = None
    last: datetime | None = None
    matched: dict[str, float] = {}
    splits: dict[str, SplitCounts] = {}


class Stats(BaseModel):
    """Statistics of the data that `process` writes: ``stats.json``.

    Parameters
    ----------
    rows
        Row counts by split; of a continued run also ``replayed``, the earlier rows in training.
    users, items
        Known ids.
    title
        The item feature that people read, if there is one.
    vocabularies
        Number of encoded ids by column, those of no category included.
    as_of
        Moment of the last training interaction, or of the last impression; None without times.
    columns
        How each column is read, by entity.
    text
        Counts of the articles' text; None where no text was tokenised.
    parts
        Part of the source that competitions have predicted (validation, test) to its split.
    summary
        Rows read and dropped; None in version 1.

    Examples
    --------
    >>> from towermill.processed import Stats
    >>> Stats(rows={"train": 8}, users=2, items=3).version
    2
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = VERSION
    rows: dict[str, int]
    users: int
    items: int
    title: str | None = None
    vocabularies: dict[str, int] = {}
    as_of: datetime | None = None
    columns: dict[Entity, Features] = {}
    text: TextStats | None = None
    parts: dict[str, str] = {}
    summary: Summary | None = None

    @classmethod
    def read(cls, folder: ProcessedFolder) -> Stats:
        """Read the statistics of a processed folder.

        Raises
        ------
        DataError
            The file is missing, cannot be read, or is of another version.
        """
        try:
            content = json.loads(folder.stats.read_text())
            version = content.get("version") if isinstance(content, dict) else None
            if version in _READABLE:
                return cls.model_validate(content)
            found = f"version {version}" if version else "no version: it is of an older Towermill"
        except (OSError, ValidationError, ValueError) as error:
            found = str(error)
        raise DataError(
            f"Expected statistics of version {VERSION} in {folder.stats}, as the `process` stage "
            f"writes them. Found {found}. Run the `process` stage again."
        )

    def write(self, folder: ProcessedFolder) -> None:
        """Write the statistics into a processed folder."""
        folder.stats.write_text(self.model_dump_json(indent=2))
