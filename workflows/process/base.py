"""The steps of `process` that depend on the kind of events, and their common base."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import polars as pl
from merlin.schema import Schema

from towermill.columns import TRAIN_COUNT, Entity
from towermill.errors import DataError
from towermill.features.config import Features
from towermill.processed import ProcessedFolder
from towermill.workflows.config import FeatureConfig
from towermill.workflows.graph.workflow import Workflow
from towermill.workflows.process.earlier_run import Earlier
from towermill.workflows.process.summary import RawSplits
from towermill.workflows.selecting.split import Split
from towermill.workflows.tables import ImpressionTables, Tables
from towermill.workflows.text.config import TextConfig
from towermill.workflows.text.items import EncodedText

T = TypeVar("T", bound=Tables | ImpressionTables)


@dataclass(frozen=True)
class EventKind(ABC, Generic[T]):
    """The part of `process` that is specific to one kind of events.

    Parameters
    ----------
    tables
        The canonical tables.
    split, features, text
        Sections of the recipe.
    """

    kind: ClassVar[str]
    #: Items of a history at most, unless the recipe says (`features.history_size`).
    usual_history: ClassVar[int]

    tables: T
    split: Split
    features: FeatureConfig = field(default_factory=FeatureConfig)
    text: TextConfig = field(default_factory=TextConfig)

    @classmethod
    def of_recipe(cls, tables: T, recipe: Any) -> Self:
        """Return the tables with those sections of the recipe that this kind reads."""
        sections = [f.name for f in fields(cls) if f.name != "tables"]
        return cls(tables, **{name: getattr(recipe, name) for name in sections})

    @cached_property
    def columns(self) -> dict[Entity, Features]:
        """The features of each entity: the recipe's, else those that the source proposes."""
        return self.features.over(self.tables.features)

    @property
    def history_size(self) -> int:
        """Items of a history at most."""
        return self.features.history_size or self.usual_history

    @property
    def parts(self) -> dict[str, str]:
        """The source's parts that competitions have predicted, by name, and their splits."""
        return {}

    @abstractmethod
    def continued(self, before: Earlier) -> T:
        """Return the tables with the users and items that only the earlier run has."""

    @abstractmethod
    def check(self) -> None:
        """Refuse sections and tables that do not fit together, before any long work."""

    @abstractmethod
    def write_raw(self, scratch: Path, before: Earlier | None) -> RawSplits:
        """Write what the workflow reads: each split, and ``fit``, what it is fitted on."""

    @abstractmethod
    def build(self, fit: Path, categories: Path) -> Workflow:
        """Return the unfitted workflow, which writes its vocabularies into `categories`."""

    @abstractmethod
    def rows(self, workflow: Workflow) -> Workflow:
        """Return the part of the workflow that encodes the rows of splits."""

    @abstractmethod
    def dated(self, raw: Mapping[str, Path]) -> pl.LazyFrame:
        """Return the rows whose last timestamp is the moment of the data."""

    @abstractmethod
    def write_tables(
        self,
        workflow: Workflow,
        raw: Mapping[str, Path],
        as_of: datetime | None,
        out: ProcessedFolder,
        before: Earlier | None,
    ) -> EncodedText:
        """Write users, items and their side files; return the encoded text of the articles."""

    def write_histories(self, out: ProcessedFolder, scratch: Path, before: Earlier | None) -> None:
        """Write the histories of users that are made of the encoded splits; by default none."""

    @abstractmethod
    def met(self) -> pl.LazyFrame:
        """Return all known (user, item) pairs, under raw ids."""

    @abstractmethod
    def schema(self, workflow: Workflow, text: EncodedText, before: Earlier | None) -> Schema:
        """Return the schema of the processed data."""

    @abstractmethod
    def add_earlier(self, before: Earlier, out: ProcessedFolder, share: float) -> int:
        """Add what only a continued run has; return the number of rows that are replayed."""


def vocabulary(workflow: Workflow, name: str) -> pl.DataFrame:
    """Return raw ids in the order of their encoded ids, and their training counts."""
    frame = pl.read_parquet(workflow.output_schema[name].properties["cat_path"])
    # A vocabulary that several columns share is stored under all their names.
    stored = next(c for c in frame.columns if f"{c}_size" in frame.columns)
    if frame.is_empty():
        raise DataError(
            f"The vocabulary of {name!r} should hold ids; none of the training split is in it. "
            f"Lower `features.ids.{name}.freq_threshold`."
        )
    return frame.select(
        pl.col(stored).alias(name), pl.col(f"{stored}_size").cast(pl.Int64).alias(TRAIN_COUNT)
    )
