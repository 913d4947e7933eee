"""The contract of a source."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field

from towermill.columns import LEAST_MATCH, Events
from towermill.section import Section
from towermill.workflows.tables import ImpressionTables, Tables


class SourceConfig(Section):
    """The `source` section of a recipe, and the reader of what it names: one subclass a source.

    Parameters
    ----------
    on_null_id
        What a row without a user or item id is: an ``error``, or one to ``drop`` and count.
    min_match
        Share of the interactions that must find their user among the users and their item among the
        items, where there are such tables.
    """

    kind: str
    on_null_id: Literal["error", "drop"] = "error"
    min_match: float = Field(LEAST_MATCH, ge=0, le=1)

    #: What competitions on this data call the file of predictions.
    predictions_file: ClassVar[str] = "predictions.txt"
    #: Whether its users can be simulated: see `towermill.pipelines.simulation`.
    simulates: ClassVar[bool] = False

    @classmethod
    def recognise(cls, folder: str) -> Self | None:
        """Return the source that reads a folder, if its files are those of a published data set.

        `towermill init` writes a recipe of it. By default no folder is recognised.
        """
        del folder
        return None

    @property
    def starting_recipe(self) -> str | None:
        """Name of the shipped recipe that `towermill init` starts from for this source."""
        return None

    @property
    def gives_splits(self) -> bool:
        """Whether `read` returns a column ``split``, as far as the files' names tell."""
        return True

    @property
    def events(self) -> Events:
        """What `read` returns: `Tables` of interactions, or `ImpressionTables`."""
        return "impressions" if getattr(self, "rows", None) == "impressions" else "interactions"

    def reading_as_text(self, signals: Iterable[str]) -> Self:
        """Return the source that reads these signals as text, as the recipe uses them.

        By default it is unchanged: most sources know the types of their signals.
        """
        return self

    @abstractmethod
    def files(self) -> list[Path]:
        """Return the raw files that will be read, in a fixed order (their fingerprints are keyed).

        Raises
        ------
        DataError
            A folder or file is missing, or holds no layout that this source knows.
        """

    @abstractmethod
    def read(self, scratch: Path) -> Tables | ImpressionTables:
        """Return the canonical tables, lazily.

        Parameters
        ----------
        scratch
            An empty folder for what must be written on the way; it stands until the tables have
            been consumed.

        Raises
        ------
        DataError
            A column is missing or of a type that its role cannot have.
        """
