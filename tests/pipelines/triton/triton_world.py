"""A small bundle, written by hand, whose right answers are a formula."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
from onnx import TensorProto, helper, numpy_helper

from towermill.features.inputs import ModelInput, RawEncoding
from towermill.pipelines.bundle.manifest import (
    Manifest,
    OnnxModel,
    Parity,
    Rows,
    files_of,
    save_manifest,
)
from towermill.pipelines.recipe.index import IndexConfig
from towermill.pipelines.search.store import write_index

DIM, USERS, ITEMS, GENDERS = 4, 20, 30, 3
EXACT = IndexConfig(kind="exact")
#: How inputs are made of raw values: nothing here encodes any.
_RAW = RawEncoding("category")


@dataclass(frozen=True)
class World:
    """Users of raw ids 100, 107, … and items ``film-00`` …, in shuffled order.

    A query's embedding is the user's row, plus the gender's, plus the age times a vector, plus, if
    `lists`, the sum of the rows of what was read. A feature of the moment, ``mood``, is not in the
    table of users, and in ONNX no input of the tower, which does not use it.
    """

    lists: bool

    def __post_init__(self) -> None:
        rng = np.random.default_rng(7)
        # Of halves: sums of them are exact in float32, whatever their order.
        halves = {
            "users": (USERS + 3, DIM),
            "genders": (GENDERS + 3, DIM),
            "age": (1, DIM),
            "read": (ITEMS + 3, DIM),
            "items": (ITEMS, DIM),
        }
        weights = {n: rng.integers(-9, 10, s).astype(np.float32) / 2 for n, s in halves.items()}
        weights["items"] = rng.normal(size=(ITEMS, DIM)).astype(np.float32)
        put = object.__setattr__
        put(self, "weights", weights)
        put(self, "user_ids", rng.permutation(100 + 7 * np.arange(USERS)))
        put(self, "item_ids", [f"film-{i:02}" for i in rng.permutation(ITEMS)])
        put(self, "ages", rng.integers(-4, 5, USERS).astype(np.float32) / 2)
        put(self, "genders", rng.integers(3, GENDERS + 3, USERS).astype(np.int32))
        put(self, "read", [rng.integers(3, ITEMS + 3, n % 5).tolist() for n in range(USERS)])
        met = [sorted(rng.choice(ITEMS, n % 7, replace=False).tolist()) for n in range(USERS)]
        put(self, "seen", met)

    @property
    def features(self) -> dict[str, Any]:
        scalars = {
            "user_id": ModelInput("int32", False, USERS + 3, _RAW),
            "age": ModelInput("float32", False, None, _RAW),
            "gender": ModelInput("int32", False, GENDERS + 3, _RAW),
            "mood": ModelInput("float32", False, None, _RAW),
        }
        history = {"history": ModelInput("int32", True, ITEMS + 3, _RAW)}
        return {**scalars, **(history if self.lists else {})}

    def embedding(self, user: Any) -> np.ndarray:
        """The formula of a query, in float64."""
        weights = {name: table.astype(np.float64) for name, table in self.weights.items()}
        known = [str(one) for one in self.user_ids]
        if str(user) not in known:  # id unknown, gender null, the mean age, nothing read
            return weights["users"][2] + weights["genders"][1]
        row = known.index(str(user))
        read = self.read[row] if self.lists else []
        return (
            weights["users"][row + 3]
            + weights["genders"][self.genders[row]]
            + self.ages[row] * weights["age"][0]
            + sum((weights["read"][item] for item in read), np.zeros(DIM))
        )

    def best(
        self, user: Any, k: int, filter_seen: bool = True, exclude: tuple[str, ...] = ()
    ) -> list[tuple[str, float]]:
        """The formula of an answer: item and score, best first."""
        scores = self.weights["items"].astype(np.float64) @ self.embedding(user)
        known = [str(one) for one in self.user_ids]
        met = self.seen[known.index(str(user))] if filter_seen and str(user) in known else []
        order = sorted(range(ITEMS), key=lambda i: -scores[i])
        wanted = [i for i in order if i not in met and self.item_ids[i] not in exclude]
        return [(self.item_ids[i], float(scores[i])) for i in wanted[:k]]

    def near(self, item: str, k: int) -> list[str]:
        """The formula of similar items."""
        vectors = self.weights["items"].astype(np.float64)
        row = self.item_ids.index(item)
        scores = vectors @ vectors[row] / np.linalg.norm(vectors, axis=1)
        order = sorted(range(ITEMS), key=lambda i: -scores[i])
        return [self.item_ids[i] for i in order if i != row][:k]

    def write(self, bundle: Path, index: IndexConfig = EXACT) -> Path:
        """Write what a model repository needs of a bundle."""
        for folder in ("onnx", "tables"):
            (bundle / folder).mkdir(parents=True)
        onnx.save(self._tower(), bundle / "onnx" / "query_tower.onnx")
        vectors = self.weights["items"]
        told = write_index(vectors, bundle / "index", index, "inner_product", vectors)
        write_arrow(bundle / "tables" / "users.arrow", self.users_table())
        write_arrow(bundle / "tables" / "items.arrow", self.items_table())
        # Whoever has met nothing has no row.
        met = {row + 3: [i + 3 for i in items] for row, items in enumerate(self.seen) if items}
        seen = pa.table(
            {
                "user_id": pa.array(list(met), pa.int32()),
                "item_id": pa.array(list(met.values()), pa.list_(pa.int32())),
            }
        )
        write_arrow(bundle / "tables" / "seen.arrow", seen)
        manifest = Manifest(
            id="stub",
            kind="retriever",
            dim=DIM,
            query_features=self.features,
            item_features={"item_id": ModelInput("int32", False, ITEMS + 3, _RAW)},
            onnx={"query_tower": OnnxModel("onnx/query_tower.onnx", "embedding")},
            parity=Parity({}, 0.0, 0),
            index=told,
            rows=Rows(USERS, ITEMS),
            files=files_of(bundle),
            towermill="",
            packages={},
            recipe={},
        )
        save_manifest(bundle, manifest)
        return bundle

    def users_table(self) -> pa.Table:
        return pa.table(
            {
                "user_id": pa.array(np.arange(3, USERS + 3), pa.int32()),
                "age": pa.array(self.ages),
                "gender": pa.array(self.genders),
                "history": pa.array(self.read, pa.list_(pa.int32())),
                "raw_user_id": pa.array(self.user_ids, pa.int64()),
                "raw_name": pa.array([f"reader {i}" for i in self.user_ids]),
                "by_id": pa.array(np.argsort(self.user_ids), pa.int32()),
            }
        )

    def items_table(self) -> pa.Table:
        return pa.table(
            {
                "item_id": pa.array(np.arange(3, ITEMS + 3), pa.int32()),
                "raw_item_id": pa.array(self.item_ids),
                "by_id": pa.array(np.argsort(self.item_ids), pa.int32()),
            }
        )

    def _tower(self) -> onnx.ModelProto:
        nodes = [
            helper.make_node("Gather", ["users", "user_id"], ["of_user"]),
            helper.make_node("Gather", ["genders", "gender"], ["of_gender"]),
            helper.make_node("Unsqueeze", ["age", "one"], ["column"]),
            helper.make_node("Mul", ["column", "ages"], ["of_age"]),
            helper.make_node("Add", ["of_user", "of_gender"], ["both"]),
            helper.make_node("Add", ["both", "of_age"], ["scalars"]),
        ]
        inputs = [("user_id", TensorProto.INT32), ("age", TensorProto.FLOAT)]
        inputs += [("gender", TensorProto.INT32)]
        constants = {
            "users": self.weights["users"],
            "genders": self.weights["genders"],
            "ages": self.weights["age"],
            "one": np.array([1]),
        }
        if self.lists:
            # Sums up to each value; a list's is the difference at its ends.
            nodes += [
                helper.make_node("Gather", ["read", "history__values"], ["values"]),
                helper.make_node("CumSum", ["values", "zero"], ["sums"]),
                helper.make_node("Concat", ["nothing", "sums"], ["until"], axis=0),
                helper.make_node("Slice", ["history__offsets", "starts", "end"], ["last"]),
                helper.make_node("Slice", ["history__offsets", "begin", "ends"], ["first"]),
                helper.make_node("Gather", ["until", "last"], ["upto"]),
                helper.make_node("Gather", ["until", "first"], ["before"]),
                helper.make_node("Sub", ["upto", "before"], ["of_history"]),
                helper.make_node("Add", ["scalars", "of_history"], ["embedding"]),
            ]
            inputs += [("history__values", TensorProto.INT32)]
            inputs += [("history__offsets", TensorProto.INT32)]
            constants |= {
                "read": self.weights["read"],
                "nothing": np.zeros((1, DIM), np.float32),
                "zero": np.array(0),
                "starts": np.array([1]),
                "end": np.array([2**31]),
                "begin": np.array([0]),
                "ends": np.array([-1]),
            }
        else:
            nodes += [helper.make_node("Identity", ["scalars"], ["embedding"])]
        graph = helper.make_graph(
            nodes,
            "query_tower",
            [helper.make_tensor_value_info(n, t, [f"rows of {n}"]) for n, t in inputs],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["rows", DIM])],
            [numpy_helper.from_array(values, name) for name, values in constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 9
        onnx.checker.check_model(model)
        return model


def write_arrow(path: Path, table: pa.Table) -> None:
    with pa.ipc.new_file(path, table.schema) as file:
        file.write_batch(table.combine_chunks().to_batches()[0])
