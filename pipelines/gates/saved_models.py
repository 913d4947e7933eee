"""Gates that need TensorFlow: the SavedModels have the same output as ONNX Runtime."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from towermill.columns import FIRST_ID, HISTORY, ITEM_ID, TIMESTAMP
from towermill.errors import BundleError
from towermill.features.inputs import RawInput
from towermill.features.shared.moments import seconds
from towermill.models.data.tensors import as_tensors
from towermill.pipelines.bundle.bundle import Bundle
from towermill.pipelines.bundle.query import Query
from towermill.pipelines.bundle.tables import Batch
from towermill.pipelines.gates.operators import check_operators
from towermill.pipelines.gates.sample import spread


def gates_of(bundle: Bundle) -> dict[str, Callable[[Bundle], dict[str, Any]]]:
    """Return the gates for a bundle of its kind."""
    if bundle.ranks:
        return {"ranker_onnx": check_ranker}
    return {"onnx": check_towers, "query_tower_raw": check_raw_tower}


def check_towers(bundle: Bundle) -> dict[str, Any]:
    """Check that both towers give the same in ONNX Runtime and TensorFlow."""
    users, items = spread(len(bundle.users)), spread(len(bundle.items))
    item_batch = bundle.items.batch(bundle.manifest.item_features, items)
    return {
        "query_tower": _same(
            bundle,
            "The query tower",
            run_saved(bundle.path / "query_tower", bundle.users_batch(users)),
            bundle.embed_users(users),
        ),
        "item_tower": _same(
            bundle,
            "The item tower",
            run_saved(bundle.path / "item_tower", item_batch),
            bundle.embed_known_items(items),
        ),
    }


def check_ranker(bundle: Bundle) -> dict[str, Any]:
    """Check that the ranker gives the same in ONNX Runtime and TensorFlow."""
    users, items = spread(len(bundle.users)), spread(len(bundle.items))
    rng = np.random.default_rng(0)
    pairs = {
        **bundle.users_batch(rng.choice(users, 100)),
        **bundle.items.batch(bundle.manifest.item_features, rng.choice(items, 100)),
    }
    found = run_saved(bundle.path / "ranker", pairs)
    return {"ranker": _same(bundle, "The ranker", found, bundle.score_pairs(pairs))}


def check_raw_tower(bundle: Bundle) -> dict[str, Any]:
    """Check that the raw query tower agrees with the query tower on encoded features."""
    queries = raw_queries(bundle, spread(len(bundle.users)))
    found = run_saved(
        bundle.path / "query_tower_raw", raw_batch(bundle.manifest.raw_inputs, queries)
    )
    expected = bundle.embed_queries([Query(features=values) for values in queries])
    difference = _same(bundle, "The query tower of raw features", found, expected)
    return {"users": len(queries), "max_abs_difference": difference}


def raw_queries(bundle: Bundle, rows: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Return the raw features of users, at the moment at which the training ended.

    Every second history has an unknown item in its middle.
    """
    table, features = bundle.users, bundle.manifest.query_features
    held = bundle.users_batch(rows)
    items = bundle.items.raw(ITEM_ID).to_pylist() if HISTORY in features else []
    unknown = _unknown(items)
    queries = []
    for place, given in enumerate(table.rows(rows)):
        values = {name: given.get(name) for name in bundle.manifest.raw_inputs}
        if HISTORY in values:
            first, end = held[f"{HISTORY}__offsets"][place : place + 2]
            read = held[f"{HISTORY}__values"][first:end]
            known = [items[i - FIRST_ID] for i in read if i >= FIRST_ID]
            half = len(known) // 2
            values[HISTORY] = known[:half] + unknown[: place % 2] + known[half:]
        if TIMESTAMP in values:
            values[TIMESTAMP] = bundle.manifest.as_of
        for name, feature in features.items():
            if not feature.raw.from_raw:
                values[name] = _encoded(held, name, feature.list, place)
        queries.append(values)
    return queries


def _unknown(items: list[Any]) -> list[Any]:
    """Return one id, of the type of `items`, that is not among them; none if there are none."""
    known = set(items)
    made = (
        map(str, itertools.count()) if isinstance(next(iter(items), 0), str) else itertools.count()
    )
    return [next(one for one in made if one not in known)] if items else []


def _encoded(batch: Batch, name: str, listed: bool, place: int) -> Any:
    if not listed:
        return batch[name][place].item()
    first, end = batch[f"{name}__offsets"][place : place + 2]
    return batch[f"{name}__values"][first:end].tolist()


def raw_batch(inputs: Mapping[str, RawInput], queries: list[dict[str, Any]]) -> Batch:
    """Return raw features as ``query_tower_raw`` takes them."""
    batch: Batch = {}
    for name, told in inputs.items():
        values = [query.get(name) for query in queries]
        if told.list:
            flat = [value for one in values for value in one or ()]
            lengths = [len(one or ()) for one in values]
            batch[f"{name}__values"] = _array(flat, told)
            batch[f"{name}__offsets"] = np.cumsum([0, *lengths], dtype=np.int32)
        else:
            values = [seconds(name, value) for value in values] if told.time else values
            batch[name] = _array(values, told)
    return batch


def _array(values: list[Any], told: RawInput) -> NDArray[Any]:
    """Return raw values as an array, missing ones replaced by their placeholder."""
    nothing = np.nan if told.missing is None else told.missing
    filled = [nothing if value is None else value for value in values]
    return np.array(filled, object if told.dtype == "string" else told.dtype)


def _same(bundle: Bundle, what: str, found: NDArray[Any], expected: NDArray[Any]) -> float:
    allowed = bundle.manifest.parity.tolerance
    difference = float(np.abs(found - expected).max(initial=0.0))
    if not difference <= allowed:
        raise BundleError(
            f"{what} as a SavedModel should give what it gives in ONNX Runtime; they differ by "
            f"{difference:.3g}, and `export.tolerance` allows {allowed:g}. One of the two is "
            "stale: export again."
        )
    return difference


def run_saved(path: Path, batch: Mapping[str, Any]) -> NDArray[Any]:
    """Return the output of a SavedModel's signature for a batch.

    Raises
    ------
    BundleError
        The SavedModel could do more than compute: see `check_operators`.
    """
    check_operators(path)
    # The module is held: its signature keeps no reference to the weights.
    module = tf.saved_model.load(str(path))
    (found,) = module.signatures["serving_default"](**as_tensors(batch)).values()
    result: NDArray[Any] = found.numpy()
    return result
