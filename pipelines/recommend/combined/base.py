"""What a server needs of bundles that are put together, beside their answers."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import AfterValidator, ValidationInfo

from towermill.errors import BundleError
from towermill.pipelines.bundle.bundle import Bundle
from towermill.pipelines.bundle.manifest import MANIFEST, Manifest
from towermill.pipelines.bundle.query import Query, Recommendations
from towermill.pipelines.bundle.tables import IdTable
from towermill.section import Section

#: The key of a validation's context: the folder that paths are relative to.
FOLDER = "folder"


def _located(path: Path, info: ValidationInfo) -> Path:
    """Return a path relative to the folder of the file that names it."""
    folder: Path = (info.context or {}).get(FOLDER, Path())
    return folder / path


#: A bundle's folder in a YAML file, relative to that file.
BundlePath = Annotated[Path, AfterValidator(_located)]


class CombinationConfig(Section):
    """The section of a YAML file that combines bundles.

    Attributes
    ----------
    places
        Its keys that say where bundles are, as pydantic's `exclude` names them.
    """

    places: ClassVar[Any]

    @property
    def bundles(self) -> tuple[Path, ...]:
        """The folders of its bundles."""
        raise NotImplementedError


class Combination(ABC):
    """Several bundles that answer as one; it offers a server what `Bundle` does.

    Users, items, histories and similar items are those of its first bundle.

    Parameters
    ----------
    lead
        The first bundle.
    parts
        Each bundle by its role, the first among them.
    config
        The section of the YAML file.
    name
        What it is called where a bundle has its recipe's name.

    Attributes
    ----------
    kind
        The key of its section.
    section
        The class of its section.
    manifest
        That of the first bundle with the combination's own `id`, `kind` and name. Its `metrics`
        are those of each part, by role.
    """

    kind: ClassVar[str]
    section: ClassVar[type[CombinationConfig]]

    def __init__(
        self, lead: Bundle, parts: Mapping[str, Bundle], config: CombinationConfig, name: str
    ) -> None:
        self.lead, self.parts = lead, dict(parts)
        ids = [part.manifest.id for part in self.parts.values()]
        text = "\n".join([self.kind, config.model_dump_json(exclude=config.places), *ids])
        self.manifest: Manifest = replace(
            lead.manifest,
            id=hashlib.sha256(text.encode()).hexdigest()[:16],
            kind=self.kind,
            recipe={**lead.manifest.recipe, "name": name},
            metrics={role: part.manifest.metrics for role, part in self.parts.items()},
        )

    @classmethod
    def open(cls, config: Any, name: str, verify: bool = False) -> Self:
        """Open the bundles that a section of `section` names."""
        made: Any = cls  # the kinds are created from these three
        found: Self = made(config, name, verify)
        return found

    @abstractmethod
    def check(self, query: Query) -> None:
        """Raise `BundleError` if a query cannot be answered."""

    @abstractmethod
    def answer(self, queries: Sequence[Query]) -> list[Recommendations]:
        """Return what `recommend` gives for each of several queries."""

    def best_of_users(
        self, rows: NDArray[np.int64], k: int, filter_seen: bool
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the best items of the users of some rows: see `Bundle.best_of_users`."""
        raise self._one_by_one()

    def require_in_bulk(self) -> None:
        """Raise `BundleError` if many users cannot be answered at once."""
        raise self._one_by_one()

    def _one_by_one(self) -> BundleError:
        return BundleError(
            f"Expected a retriever's bundle or a funnel; a {self.kind} recommends to one user at "
            "a time. Ask for each --user, or write the lists of its bundles."
        )

    def recommend(
        self,
        user_id: Any = None,
        k: int = 10,
        filter_seen: bool = True,
        *,
        history: Sequence[Any] | None = None,
        features: Mapping[str, Any] | None = None,
        exclude: Sequence[Any] = (),
        candidates: Sequence[Any] | None = None,
    ) -> Recommendations:
        """Return the best `k` items for a user, raw features, or a history.

        Parameters
        ----------
        user_id, k, filter_seen, history, features, exclude, candidates
            See `Query`.

        Raises
        ------
        BundleError
            An argument is of another type, or one that these bundles do not take.
        """
        query = Query(user_id, k, filter_seen, history, features, exclude, candidates)
        return self.answer([query])[0]

    @property
    def title(self) -> str | None:
        """The item feature that people read, if there is one."""
        return self.lead.title

    @property
    def users(self) -> IdTable:
        """The table of known users."""
        return self.lead.users

    @property
    def items(self) -> IdTable:
        """The table of items."""
        return self.lead.items

    def load(self) -> None:
        """Read everything that is otherwise read on first use; the folders may then be moved."""
        for part in self.parts.values():
            part.load()

    def similar_many(self, item_ids: Sequence[Any], k: int) -> list[list[dict[str, Any]]]:
        """Return the nearest items of each item by the first bundle's embeddings."""
        return self.lead.similar_many(item_ids, k)

    def nearest_of(
        self, rows: NDArray[np.int64], among: NDArray[np.int64], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the `k` nearest of others for each of some items: see `Bundle.nearest_of`."""
        return self.lead.nearest_of(rows, among, k)

    def find_user(self, raw: Any) -> int | None:
        """Return the row of a user's raw id."""
        return self.lead.find_user(raw)

    def find_item(self, raw: Any) -> int | None:
        """Return the row of an item's raw id."""
        return self.lead.find_item(raw)

    def user(self, row: int) -> dict[str, Any]:
        """Return the raw features of the user of a row."""
        return self.lead.user(row)

    def item(self, row: int) -> dict[str, Any]:
        """Return the raw features of the item of a row."""
        return self.lead.item(row)

    def seen(self, row: int) -> NDArray[np.int64]:
        """Return the rows of the items that a user has seen."""
        return self.lead.seen(row)

    def item_column(self, name: str) -> pa.Array:
        """Return a raw feature of all items."""
        return self.lead.item_column(name)

    def user_column(self, name: str) -> pa.Array:
        """Return a raw feature of all users."""
        return self.lead.user_column(name)


def open_part(path: Path, verify: bool) -> Bundle:
    """Open one of the bundles that a file names.

    Raises
    ------
    BundleError
        It is not there or not whole.
    """
    if not (path / MANIFEST).is_file():
        raise BundleError(
            f"No bundle at {path}: expected {MANIFEST} there. Paths in a blend or a funnel are "
            "relative to its file; write an absolute path, or one from the file's folder to "
            "runs/<recipe>/latest/bundle."
        )
    return Bundle.open(path, verify)
