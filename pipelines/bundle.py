"""The reader of a bundle. It needs TensorFlow to encode a query, and nothing of Merlin."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from towermill.columns import FIRST_ID, HISTORY, ITEM_ID, NULL_ID, OOV_ID, RAW_PREFIX, USER_ID
from towermill.errors import BundleError

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_k(k: int) -> None:
    """Raise `BundleError` if `k` is not a positive integer."""
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise BundleError(f"`k` should be a positive integer. Received: k={k!r}")


@dataclass(frozen=True)
class Recommendations:
    """What `Bundle.recommend` returns.

    Attributes
    ----------
    items
        ``item_id`` (raw), ``score`` and the item's raw features, best first.
    known
        Whether the user stood in the training data, or any of the history in the catalogue; if
        not, they were served as out of vocabulary.
    """

    items: list[dict[str, Any]]
    known: bool


def tower_inputs(rows: pl.DataFrame, features: Mapping[str, Any]) -> dict[str, Any]:
    """Return encoded rows as the tensors that a tower's signature takes.

    Parameters
    ----------
    rows
        Have a column each of `features`.
    features
        As the manifest describes a tower's inputs.
    """
    import tensorflow as tf

    inputs = {}
    for name, feature in features.items():
        values = rows[name]
        if feature["list"]:
            values = values.arr.to_list() if isinstance(values.dtype, pl.Array) else values
            flat = values.explode(empty_as_null=False)
            lengths = values.list.len().to_numpy()
            inputs[f"{name}__values"] = tf.constant(flat.to_numpy(), feature["dtype"])
            inputs[f"{name}__offsets"] = tf.constant(
                np.concatenate([[0], np.cumsum(lengths)]), tf.int32
            )
        else:
            inputs[name] = tf.constant(values.to_numpy(), feature["dtype"])
    return inputs


class Bundle:
    """A published bundle, opened for reading.

    Parameters
    ----------
    path
        Its folder.
    verify
        Hold every file against its checksum in the manifest; without, only that each is there.

    Raises
    ------
    BundleError
        There is no bundle, it is not whole, a file is damaged, or it is of a newer format.
    """

    def __init__(self, path: str | Path, verify: bool = True) -> None:
        self.path = Path(path)
        if not (self.path / MANIFEST).is_file():
            raise BundleError(
                f"No bundle at {self.path}: expected {MANIFEST} there. A finished run has one in "
                "runs/<recipe>/latest/bundle."
            )
        try:
            self.manifest: dict[str, Any] = json.loads((self.path / MANIFEST).read_text())
            newest = int(self.manifest["format"])
            files: dict[str, str] = dict(self.manifest["files"])
        except (ValueError, KeyError, TypeError) as error:
            raise BundleError(
                f"{self.path / MANIFEST} is not a bundle's manifest ({error!r}). Export again."
            ) from error
        if newest > FORMAT:
            raise BundleError(
                f"The bundle is of format {newest}; this Towermill reads up to {FORMAT}. Update it."
            )
        missing = [name for name in files if not (self.path / name).is_file()]
        if missing:
            raise BundleError(
                f"The bundle at {self.path} is not whole: {missing[0]} is missing"
                f"{f' and {len(missing) - 1} more' if missing[1:] else ''}. Export it again."
            )

        for name, digest in files.items() if verify else ():
            if file_digest(self.path / name) != digest:
                raise BundleError(
                    f"The bundle at {self.path} is damaged: {name} is not the file that was "
                    "published. Export it again."
                )

    @classmethod
    def open(cls, path: str | Path, verify: bool = True) -> Bundle:
        """Open the bundle at `path`."""
        return cls(path, verify)

    @property
    def title(self) -> str | None:
        """The item feature that people read, if there is one."""
        found: str | None = self.manifest["title"]
        return found

    def recommend(
        self,
        user_id: Any = None,
        k: int = 10,
        filter_seen: bool = True,
        *,
        history: Sequence[Any] | None = None,
    ) -> Recommendations:
        """Return the `k` items that score highest for a user, or for a reading history.

        Equal scores are ordered by encoded id, and so by how often the items were met in training.
        To a news model, whoever has no known history scores all articles 0, and is given the most
        frequent ones.

        Parameters
        ----------
        user_id
            Raw id; text is read as a number where ids are numbers.
        k
            How many, at least 1.
        filter_seen
            Leave out what the user is known to have met, in any split, or the history.
        history
            Raw ids of items, the last read last, instead of a user, who is then not looked at;
            those that are not known are passed over. Of a news model.

        Raises
        ------
        BundleError
            `k` is not a positive integer, `history` is no list, or the model takes none.
        """
        check_k(k)
        if history is not None:
            return self._recommend_for(history, k, filter_seen)
        row = self.find_user(user_id)
        features = self._users[row] if row is not None else self._unknown_user()
        scores = self._items @ self._embed(features)[0]
        if row is not None and filter_seen:
            seen = self._seen.filter(pl.col(USER_ID) == features[USER_ID].item())
            if seen.height:
                scores[seen[ITEM_ID].item().to_numpy() - FIRST_ID] = -np.inf
        return Recommendations(self._best(scores, k), row is not None)

    def _recommend_for(self, history: Sequence[Any], k: int, filter_seen: bool) -> Recommendations:
        if list(self.manifest["query_features"]) != [HISTORY]:
            raise BundleError(
                "The model of this bundle takes no `history`: only that of a news recipe does. "
                "Give a `user_id`."
            )
        if isinstance(history, str) or not isinstance(history, Iterable):
            raise BundleError(f"`history` should be a list of ids. Received: {history!r}")
        kind = self._catalogue.schema[RAW_PREFIX + ITEM_ID]
        wanted = pl.Series([str(item) for item in history], dtype=pl.String)
        ids = wanted.cast(kind, strict=False).to_list()
        known = [self._row_of[item] for item in ids if item in self._row_of]
        read = pl.Series([[row + FIRST_ID for row in known]], dtype=pl.List(pl.Int32))
        scores = self._items @ self._embed(pl.DataFrame({HISTORY: read}))[0]
        if filter_seen:
            scores[known] = -np.inf
        return Recommendations(self._best(scores, k), bool(known))

    def _best(self, scores: NDArray[np.float32], k: int) -> list[dict[str, Any]]:
        best = np.argsort(-scores, kind="stable")[:k]
        best = best[np.isfinite(scores[best])]
        return [{**self.item(int(i)), "score": float(scores[i])} for i in best]

    def find_user(self, user_id: Any) -> int | None:
        """Return the row of a raw user id, given as itself or as text; None if it is not known."""
        raw = self._users[RAW_PREFIX + USER_ID]
        # Of anything else, a cast could make another user's id.
        plain = isinstance(user_id, (str, Integral)) and not isinstance(user_id, bool)
        if not plain and not (isinstance(user_id, float) and user_id.is_integer()):
            return None
        try:
            wanted = pl.Series([user_id]).cast(raw.dtype).item()
        except (pl.exceptions.PolarsError, TypeError, OverflowError):
            return None
        rows = raw.eq(wanted).arg_true() if wanted is not None else []
        return int(rows[0]) if len(rows) else None

    def _unknown_user(self) -> pl.DataFrame:
        """Return the encoded features of nobody: id unknown, categories null, numbers the mean."""
        values: dict[str, pl.Series] = {}
        for name, feature in self.manifest["query_features"].items():
            dtype = self._users.schema.get(name, pl.Int32 if feature["ids"] else pl.Float32)
            blank: Any = OOV_ID if name == USER_ID else NULL_ID if feature["ids"] else 0.0
            values[name] = pl.Series([[] if feature["list"] else blank], dtype=dtype)
        return pl.DataFrame(values)

    def _embed(self, users: pl.DataFrame) -> NDArray[np.float32]:
        features = self.manifest["query_features"]
        # A context feature that was not given is as unknown as an unknown user's.
        missing = [name for name in features if name not in users.columns]
        users = users.with_columns(self._unknown_user()[missing]) if missing else users
        inputs = tower_inputs(users, features)
        embedding: NDArray[np.float32] = self._query_tower(**inputs)["embedding"].numpy()
        return embedding

    def item(self, row: int) -> dict[str, Any]:
        """Return the raw features of the item of a row."""
        raw = self._catalogue.row(row, named=True)
        return {n.removeprefix(RAW_PREFIX): v for n, v in raw.items() if n.startswith(RAW_PREFIX)}

    @cached_property
    def _query_tower(self) -> Any:
        import tensorflow as tf

        # The module is kept: its signature holds no reference to the weights.
        self._loaded = tf.saved_model.load(str(self.path / "query_tower"))
        return self._loaded.signatures["serving_default"]

    @cached_property
    def _users(self) -> pl.DataFrame:
        return pl.read_parquet(self.path / "user_features.parquet")

    @cached_property
    def _catalogue(self) -> pl.DataFrame:
        return pl.read_parquet(self.path / "item_features.parquet")

    @cached_property
    def _row_of(self) -> dict[Any, int]:
        raw = self._catalogue[RAW_PREFIX + ITEM_ID].to_list()
        return {item: row for row, item in enumerate(raw)}

    @cached_property
    def _items(self) -> NDArray[np.float32]:
        table = pl.read_parquet(self.path / "item_embeddings.parquet").drop(ITEM_ID)
        return table.to_numpy().astype(np.float32)

    @cached_property
    def _seen(self) -> pl.DataFrame:
        return pl.read_parquet(self.path / "seen_items.parquet")
