"""The gates that need TensorFlow: the SavedModels give what ONNX Runtime does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from towermill.columns import FIRST_ID, HISTORY, ITEM_ID, RAW_PREFIX, TIMESTAMP
from towermill.errors import BundleError
from towermill.pipelines.bundle import Bundle
from towermill.pipelines.gates import TOLERANCE, spread
from towermill.pipelines.raw_features import seconds
from towermill.pipelines.raw_tower import MISSING
from towermill.pipelines.saved_models import run_saved
from towermill.pipelines.tables import Batch


def gates_of(bundle: Bundle) -> dict[str, Callable[[Bundle], dict[str, Any]]]:
    """Return the gates for a bundle of its kind."""
    if bundle.ranks:
        return {"ranker_onnx": check_ranker}
    return {"onnx": check_towers, "query_tower_raw": check_raw_tower}


def check_towers(bundle: Bundle) -> dict[str, Any]:
    """Both towers give in ONNX Runtime what they give in TensorFlow."""
    users, items = spread(len(bundle.users)), spread(len(bundle.items))
    item_batch = bundle.items.batch(bundle.manifest["item_features"], items)
    return {
        "query_tower": _same(
            "The query tower",
            run_saved(bundle.path / "query_tower", bundle.users_batch(users)),
            bundle.embed_users(users),
        ),
        "item_tower": _same(
            "The item tower",
            run_saved(bundle.path / "item_tower", item_batch),
            bundle.embed_known_items(items),
        ),
    }


def check_ranker(bundle: Bundle) -> dict[str, Any]:
    """The ranker gives in ONNX Runtime what it gives in TensorFlow."""
    users, items = spread(len(bundle.users)), spread(len(bundle.items))
    rng = np.random.default_rng(0)
    pairs = {
        **bundle.users_batch(rng.choice(users, 100)),
        **bundle.items.batch(bundle.manifest["item_features"], rng.choice(items, 100)),
    }
    found = run_saved(bundle.path / "ranker", pairs)
    return {"ranker": _same("The ranker", found, bundle.score_pairs(pairs))}


def check_raw_tower(bundle: Bundle) -> dict[str, Any]:
    """Of raw features, the raw query tower gives what the query tower does of encoded ones."""
    rows = spread(len(bundle.users))
    raw = raw_batch(bundle, rows)
    found = run_saved(bundle.path / "query_tower_raw", raw)
    return {
        "users": len(rows),
        "difference": _same("The query tower of raw features", found, bundle.embed_users(rows)),
    }


def raw_batch(bundle: Bundle, rows: NDArray[np.int64]) -> Batch:
    """Return the raw features of users as ``query_tower_raw`` takes them."""
    table, as_of = bundle.users, bundle.manifest["as_of"]
    batch: Batch = {}
    for name, told in bundle.manifest["raw_inputs"].items():
        feature = bundle.manifest["query_features"].get(name)
        if name == TIMESTAMP:
            moment = seconds(name, as_of)
            batch[name] = np.full(len(rows), MISSING if moment is None else moment)
        elif name == HISTORY:
            held = table.batch({HISTORY: feature}, rows)
            items = bundle.items.raw(ITEM_ID).to_pylist()
            read = [items[i - FIRST_ID] for i in held[f"{HISTORY}__values"]]
            batch[f"{HISTORY}__values"] = _array(read, told["dtype"])
            batch[f"{HISTORY}__offsets"] = held[f"{HISTORY}__offsets"]
        elif feature["raw"]["kind"] == "encoded":
            batch |= {
                n: v for n, v in bundle.users_batch(rows).items() if n.partition("__")[0] == name
            }
        elif RAW_PREFIX + name not in table.data.schema.names:  # of the moment: nobody tells it
            batch |= _missing(name, told, len(rows))
        else:
            values = [row[name] for row in table.rows(rows)]
            if told["list"]:
                flat = [v for value in values for v in value or ()]
                lengths = [len(value or ()) for value in values]
                batch[f"{name}__values"] = _array(flat, told["dtype"])
                batch[f"{name}__offsets"] = np.cumsum([0, *lengths], dtype=np.int32)
            else:
                batch[name] = _array(
                    [seconds(name, v) for v in values]
                    if feature["raw"]["kind"] == "age"
                    else values,
                    told["dtype"],
                )
    return batch


def _missing(name: str, told: dict[str, Any], count: int) -> Batch:
    if told["list"]:
        return {
            f"{name}__values": _array([], told["dtype"]),
            f"{name}__offsets": np.zeros(count + 1, np.int32),
        }
    return {name: _array([None] * count, told["dtype"])}


def _array(values: list[Any], dtype: str) -> NDArray[Any]:
    """Return raw values as an array; what stands for a missing one is as `RawTower` has it."""
    nothing = {"string": "", "int64": MISSING}.get(dtype, np.nan)
    filled = [nothing if value is None else value for value in values]
    return np.array(filled, object if dtype == "string" else dtype)


def _same(what: str, found: NDArray[Any], expected: NDArray[Any]) -> float:
    difference = float(np.abs(found - expected).max(initial=0.0))
    if not difference <= TOLERANCE:
        raise BundleError(
            f"{what} as a SavedModel should give what it gives in ONNX Runtime; they differ by "
            f"{difference:.3g}, and {TOLERANCE:g} is allowed. One of the two is stale: export "
            "again."
        )
    return difference
