"""A small bundle with a knowable answer: items on a circle, users who stand at one of them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from towermill.errors import BundleError
from towermill.features.inputs import ModelInput, RawEncoding
from towermill.pipelines.bundle.manifest import Manifest, Parity, Rows
from towermill.pipelines.bundle.query import Query, Recommendations
from towermill.pipelines.bundle.records import from_json
from towermill.pipelines.search.exact import check_k

TITLES = ["Fargo (1996)", "<script>window.broken=1</script><img src=x onerror=window.broken=1>"]
#: A user whose query passes `check` and then breaks the batch that it is in.
POISON = 13


def write_bundle(path: Path, bundle_id: str, items: int = 24, users: int = 30) -> Path:
    """Write a stand-in's folder as bundles are: beside, then moved into place."""
    partial = path.with_name(path.name + ".partial")
    partial.mkdir(parents=True)
    taken = ModelInput("int32", list=False, ids=None, raw=RawEncoding("category"))
    manifest = Manifest(
        id=bundle_id,
        kind="retriever",
        title="title",
        rows=Rows(users, items),
        query_features={"user_id": taken, "age": taken},
        item_features={},
        onnx={},
        parity=Parity({}, 0.0, 0),
        files={},
        towermill="",
        packages={},
        recipe={"name": "circle"},
        metrics={
            "metrics": {"ndcg@10": 0.3, "recall@10": 0.5, "recall@100": 0.9},
            "baselines": {"ease": {"ndcg@10": 0.4, "recall@10": 0.6}, "random": {"ndcg@10": 0.01}},
            "compared": {"metric": "ndcg@10"},
            "queries": 1200,
        },
    )
    (partial / "manifest.json").write_text(json.dumps(asdict(manifest)))
    partial.rename(path)
    return path


class CircleBundle:
    """Items stand evenly on a circle, in the order of their rows; a score is a dot product.

    User ``u`` (row ``u - 1``) stands a tenth of a step after item ``7 u mod n``, and has met that
    one and the two that follow it; so do a history's items and `similar`'s look ahead a tenth.
    Every item says which bundle it is from.
    """

    def __init__(self, path: Path) -> None:
        try:
            self.told = json.loads((path / "manifest.json").read_text())
        except (OSError, ValueError) as error:
            raise BundleError(f"No bundle at {path}: {error}") from error
        self.path = path
        self.manifest: Manifest = from_json(Manifest, self.told)
        self.title = self.manifest.title
        self.users, self.items = self.manifest.rows.users, self.manifest.rows.items
        self.vectors, self.queries = self._stand(0), self._stand(0.1)
        self.seconds = 0.0
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.batches: list[int] = []

    def _stand(self, ahead: float) -> NDArray[np.float64]:
        angles = 2 * np.pi * (np.arange(self.items) + ahead) / self.items
        return np.stack([np.cos(angles), np.sin(angles)], 1)

    @classmethod
    def open(cls, path: Path) -> CircleBundle:
        return cls(path)

    def item_id(self, row: int) -> str:
        return "with/slash ü" if row == 2 else f"i{row}"

    def item(self, row: int) -> dict[str, Any]:
        return {
            "item_id": self.item_id(row),
            "title": TITLES[row] if row < len(TITLES) else f"Film number {row}",
            "genres": ["Drama", "Crime"],
            "year": float("nan") if row == 3 else 1900 + row,
            "added": datetime(2020, 1, 1, tzinfo=UTC),
            "made_by": self.manifest.id,
        }

    def user(self, row: int) -> dict[str, Any]:
        return {"user_id": row + 1, "age": 20 + row, "occupation": None}

    def seen(self, row: int) -> NDArray[np.int64]:
        return (7 * (row + 1) + np.arange(3)) % self.items

    def find_user(self, raw: Any) -> int | None:
        text = str(raw)
        found = int(text) - 1 if text.isascii() and text.isdigit() and len(text) < 9 else -1
        return found if 0 <= found < self.users else None

    def find_item(self, raw: Any) -> int | None:
        if raw == self.item_id(2):
            return 2
        text = str(raw).removeprefix("i")
        row = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else -1
        return row if 0 <= row < self.items and raw == self.item_id(row) else None

    def item_column(self, name: str) -> Any:
        return pa.array([self.item(row)[name] for row in range(self.items)])

    def user_column(self, name: str) -> Any:
        return pa.array([self.user(row)[name] for row in range(self.users)])

    def load(self) -> None:
        """Nothing is read later."""

    def check(self, query: Query) -> None:
        check_k(query.k)
        for name, value in (query.features or {}).items():
            if name != "age" or isinstance(value, (str, list)):
                raise BundleError(f"`features` should be an `age`. Received: {name!r}")

    def answer(self, queries: Sequence[Query]) -> list[Recommendations]:
        self.batches.append(len(queries))
        self.may_answer.wait(20)
        time.sleep(self.seconds)
        if any(query.user_id == POISON for query in queries):
            raise ZeroDivisionError("poison")
        return [self._answer(query) for query in queries]

    def _answer(self, query: Query) -> Recommendations:
        user = self.find_user(query.user_id)
        read = [self.find_item(item) for item in query.history or ()]
        met = [row for row in read if row is not None]
        if query.history is None and user is not None:
            met = self.seen(user).tolist()
        at = met[:1] if query.history is None else met
        scores = self.vectors @ self.queries[at].sum(0)
        if query.filter_seen:
            scores[met] = -np.inf
        scores[[row for row in map(self.find_item, query.exclude) if row is not None]] = -np.inf
        if query.candidates is not None:
            keep = [row for row in map(self.find_item, query.candidates) if row is not None]
            scores[np.setdiff1d(np.arange(self.items), keep)] = -np.inf
        return Recommendations(self._best(scores, query.k), bool(met))

    def similar_many(self, item_ids: Sequence[Any], k: int) -> list[list[dict[str, Any]]]:
        rows = [self.find_item(item) for item in item_ids]
        if None in rows:
            raise BundleError("`item_id` is not known.")
        found = []
        for row in rows:
            scores = self.vectors @ self.queries[row]
            scores[row] = -np.inf
            found.append(self._best(scores, k))
        return found

    def nearest_of(
        self, rows: NDArray[np.int64], among: NDArray[np.int64], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        scores = self.vectors[rows] @ self.vectors[among].T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return among[best], np.take_along_axis(scores, best, 1).astype(np.float32)

    def _best(self, scores: NDArray[np.float64], k: int) -> list[dict[str, Any]]:
        best = np.argsort(-scores, kind="stable")[:k]
        return [
            {**self.item(int(row)), "score": float(scores[row])}
            for row in best
            if np.isfinite(scores[row])
        ]
