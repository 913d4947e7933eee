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

FORMAT: Final = 2
MANIFEST: Final = "manifest.json"
#: Users go through the query tower so many at a time, for one of them as for all: the last bits of
#: an embedding depend on how many rows go with it.
TOGETHER: Final = 64


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
    def ranks(self) -> bool:
        """Whether it is a ranker's, which scores pairs; else it is a retriever's."""
        return bool(self.manifest.get("kind") == "ranker")  # of format 1 there are none

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
        To a model of histories, whoever has no known one scores all articles 0, and is given the
        most frequent ones.

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
        scores = self._scores(row)
        if row is None:
            return Recommendations(self._best(scores, k), False)
        if filter_seen:
            seen = self._seen.filter(pl.col(USER_ID) == self._users[USER_ID][row])
            if seen.height:
                scores[seen[ITEM_ID].item().to_numpy() - FIRST_ID] = -np.inf
        return Recommendations(self._best(scores, k), True)

    def encode(self, users: pl.DataFrame) -> NDArray[np.float32]:
        """Return the embeddings of rows of ``user_features.parquet``, float32 ``(rows, dim)``."""
        features = self.manifest["query_features"]
        # A context feature that was not given is as unknown as an unknown user's.
        missing = [name for name in features if name not in users.columns]
        if missing:
            blank = self.unknown_user()[missing]
            users = users.with_columns(pl.lit(blank[name]).first().alias(name) for name in missing)
        inputs = tower_inputs(users, features)
        embed = self._signature("query_tower")
        embedding: NDArray[np.float32] = embed(**inputs)["embedding"].numpy()
        return embedding

    def score(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the score of each item of the catalogue, float32 ``(…, catalogue)``.

        Computed in float64, so that a score is the same however many queries there are, and items
        of one embedding tie.

        Parameters
        ----------
        queries
            Embeddings, ``(…, dim)``.
        """
        scores: NDArray[np.float64] = queries.astype(np.float64) @ self._items.T
        return scores.astype(np.float32)

    @property
    def item_ids(self) -> pl.Series:
        """Raw ids of the catalogue, in the order of `score`."""
        return self._catalogue[RAW_PREFIX + ITEM_ID]

    def rank(self, user_id: Any, items: Sequence[Any]) -> Recommendations:
        """Return these items in the order in which a user should see them.

        Items that the bundle does not know come last, in the order given, with a score of None.

        Parameters
        ----------
        user_id
            Raw id, as for `recommend`.
        items
            Raw ids; a second mention of one is passed over.

        Raises
        ------
        BundleError
            `items` is no list.
        """
        given = list(dict.fromkeys(self._item_ids(items, "items")))
        row = self.find_user(user_id)
        known = [self._row_of[item] for item in given if item in self._row_of]
        scores = self._scores(row, np.array(known, np.int64))
        found = [
            {**self.item(known[i]), "score": float(scores[i])}
            for i in np.argsort(-scores, kind="stable")
        ]
        strangers = [item for item in given if item not in self._row_of]
        found += [{ITEM_ID: item, "score": None} for item in strangers]
        return Recommendations(found, row is not None)

    def _recommend_for(self, history: Sequence[Any], k: int, filter_seen: bool) -> Recommendations:
        if self.ranks or HISTORY not in self.manifest["query_features"]:
            raise BundleError(
                "The model of this bundle takes no `history`: only that of a news recipe does. "
                "Give a `user_id`."
            )
        ids = self._item_ids(history, "history")
        known = [self._row_of[item] for item in ids if item in self._row_of]
        read = pl.Series([[row + FIRST_ID for row in known]], dtype=pl.List(pl.Int32))
        scores = self.score(self.encode(pl.DataFrame({HISTORY: read}))[0])
        if filter_seen:
            scores[known] = -np.inf
        return Recommendations(self._best(scores, k), bool(known))

    def _item_ids(self, items: Any, name: str) -> list[Any]:
        """Return raw ids as the catalogue has them; None for what cannot be one."""
        if isinstance(items, str) or not isinstance(items, Iterable):
            raise BundleError(f"`{name}` should be a list of ids. Received: {items!r}")
        kind = self._catalogue.schema[RAW_PREFIX + ITEM_ID]
        wanted = pl.Series([str(item) for item in items], dtype=pl.String)
        return wanted.cast(kind, strict=False).to_list()

    def _scores(
        self, row: int | None, rows: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Return the scores of all items, or of some rows of the catalogue, for a known user.

        `row` is the user's in the table of users; None for anybody else.
        """
        if self.ranks:
            user = self.unknown_user() if row is None else self._users[row]
            return self._scores_of_pairs(
                user, self._catalogue if rows is None else self._catalogue[rows]
            )
        if row is None:
            query = self.encode(self.unknown_user())[0]
        else:
            beside = self._users.slice(row // TOGETHER * TOGETHER, TOGETHER)
            query = self.encode(beside)[row % TOGETHER]
        scores = self.score(query)
        return scores if rows is None else scores[rows]

    def _scores_of_pairs(self, user: pl.DataFrame, items: pl.DataFrame) -> NDArray[np.float32]:
        if not len(items):
            return np.zeros(0, np.float32)
        pairs = {
            **tower_inputs(user[np.zeros(len(items), int)], self.manifest["query_features"]),
            **tower_inputs(items, self.manifest["item_features"]),
        }
        scores: NDArray[np.float32] = self._signature("ranker")(**pairs)["score"].numpy()
        return scores

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

    def unknown_user(self) -> pl.DataFrame:
        """Return the encoded features of nobody: id unknown, categories null, numbers the mean."""
        values: dict[str, pl.Series] = {}
        for name, feature in self.manifest["query_features"].items():
            dtype = self._users.schema.get(name, pl.Int32 if feature["ids"] else pl.Float32)
            blank: Any = OOV_ID if name == USER_ID else NULL_ID if feature["ids"] else 0.0
            values[name] = pl.Series([[] if feature["list"] else blank], dtype=dtype)
        return pl.DataFrame(values)

    def item(self, row: int) -> dict[str, Any]:
        """Return the raw features of the item of a row."""
        raw = self._catalogue.row(row, named=True)
        return {n.removeprefix(RAW_PREFIX): v for n, v in raw.items() if n.startswith(RAW_PREFIX)}

    def _signature(self, name: str) -> Any:
        if name not in self._loaded:
            import tensorflow as tf

            # The module is kept: its signature holds no reference to the weights.
            self._loaded[name] = tf.saved_model.load(str(self.path / name))
        return self._loaded[name].signatures["serving_default"]

    @cached_property
    def _loaded(self) -> dict[str, Any]:
        return {}

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
    def _items(self) -> NDArray[np.float64]:
        table = pl.read_parquet(self.path / "item_embeddings.parquet").drop(ITEM_ID)
        return table.to_numpy().astype(np.float64)

    @cached_property
    def _seen(self) -> pl.DataFrame:
        return pl.read_parquet(self.path / "seen_items.parquet")
