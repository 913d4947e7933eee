"""What a bundle must hold to be published, and to be believed on another machine.

Each gate measures a bundle without the data it was trained on, and raises if it is wrong.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from towermill.columns import FIRST_ID, ITEM_ID, RAW_PREFIX, TIMESTAMP, USER_ID
from towermill.errors import BundleError
from towermill.pipelines.bundle import Bundle
from towermill.pipelines.bundle_files import check_digests
from towermill.pipelines.raw_features import read_vocabulary
from towermill.pipelines.tables import BY_ID, IdTable

Gate = Callable[[Bundle], dict[str, Any]]
#: Rows of a table, and items, that the costly gates look at: evenly spread over all.
SAMPLE: Final = 1000
#: Within which numbers that were computed twice are equal.
TOLERANCE: Final = 1e-4


def check_bundle(bundle: Bundle) -> dict[str, Any]:
    """Return what each gate measured, by name.

    Raises
    ------
    BundleError
        Of the first gate that is not passed: what was expected, and what was found.
    """
    return {name: gate(bundle) for name, gate in gates_of(bundle).items()}


def examine(path: Path) -> list[dict[str, Any]]:
    """Return what every gate says of a bundle.

    Returns
    -------
    list of dict
        Of each ``gate``: whether it is ``passed``, what it ``measured``, and the ``problem``.

    Raises
    ------
    BundleError
        There is no bundle that could be opened.
    """
    bundle, found = Bundle.open(path), []
    for name, gate in gates_of(bundle).items():
        measured: dict[str, Any] = {}
        problem = None
        try:
            measured = gate(bundle)
        except BundleError as error:
            problem = str(error)
        found.append(
            {"gate": name, "passed": problem is None, "measured": measured, "problem": problem}
        )
    return found


def gates_of(bundle: Bundle) -> dict[str, Gate]:
    """Return the gates for a bundle, in their order: those of its kind."""
    both: dict[str, Gate] = {
        "files": check_files,
        "ids": check_ids,
        "tables": check_same_tables,
        "vocabularies": check_vocabularies,
        "encoding": check_encoding,
    }
    if not bundle.ranks:
        both |= {
            "index": check_index,
            "embeddings": check_embeddings,
            "collapse": check_collapse,
            "item_tower": check_item_tower,
        }
    if importlib.util.find_spec("tensorflow") is not None:
        from towermill.pipelines import tensorflow_gates

        both |= tensorflow_gates.gates_of(bundle)
    return both


def check_files(bundle: Bundle) -> dict[str, Any]:
    """Every file is the one that was published."""
    check_digests(bundle.path, bundle.manifest)
    return {"files": len(bundle.manifest["files"])}


def check_ids(bundle: Bundle) -> dict[str, Any]:
    """Ids are unique; encoded ones run from 3 by row; raw ones are found at their rows."""
    for table, what in ((bundle.users, "users"), (bundle.items, "items")):
        ids = table.raw(table.key)
        distinct = len(ids.unique())
        if ids.null_count or distinct != len(ids):
            twice = ids.value_counts().to_pylist()
            example = next((v["values"] for v in twice if v["counts"] > 1), None)
            raise BundleError(
                f"The {what} of the bundle should have one row an id. {len(ids) - distinct} ids "
                f"stand in more than one, such as {example!r}. Process the data again."
            )
        encoded = table.data.column(table.key).to_numpy()
        expected = np.arange(FIRST_ID, FIRST_ID + len(table))
        if not np.array_equal(encoded, expected) or len(table) != bundle.manifest["rows"][what]:
            wrong = np.flatnonzero(encoded != expected)
            place = f"; row {wrong[0]} has {encoded[wrong[0]]}" if len(wrong) else ""
            raise BundleError(
                f"Encoded ids of the {what} should run from {FIRST_ID} by row, for "
                f"{bundle.manifest['rows'][what]} rows; there are {len(table)}{place}. Rows were "
                "moved: export again."
            )
        order = table.data.column(BY_ID).to_numpy()
        if not np.array_equal(np.sort(order), np.arange(len(table))):
            raise BundleError(f"The order of the {what}' ids names rows twice. Export again.")
        for row in spread(len(table)):
            found = table.find(ids[row].as_py())
            if found != row:
                raise BundleError(
                    f"The id {ids[row].as_py()!r} of the {what} should be found at row {row}; it "
                    f"is at {found}. The order of ids is stale: export again."
                )
    return {"users": len(bundle.users), "items": len(bundle.items)}


def check_same_tables(bundle: Bundle) -> dict[str, Any]:
    """The Parquet files that others read hold what the reader's own tables do, row by row."""
    pairs = {"user_features": bundle.users, "item_features": bundle.items}
    for name, table in pairs.items():
        given = pq.read_table(bundle.path / f"{name}.parquet")
        if given.num_rows != len(table):
            raise BundleError(
                f"{name}.parquet should have a row an id, {len(table)}; it has {given.num_rows}. "
                "Export again."
            )
        for column in (table.key, RAW_PREFIX + table.key):
            held = table.data.column(column)
            differs = _first_difference(given.column(column).combine_chunks(), held)
            if differs is not None:
                raise BundleError(
                    f"Row {differs} of {name}.parquet should be of the id "
                    f"{held[differs].as_py()!r} ({column}); it is of "
                    f"{given.column(column)[differs].as_py()!r}. Rows were swapped: export again."
                )
    return {"rows": len(bundle.users) + len(bundle.items)}


def check_vocabularies(bundle: Bundle) -> dict[str, Any]:
    """The vocabularies of the workflow are of the sizes that the towers have embeddings for."""
    sizes = {}
    features = {**bundle.manifest["query_features"], **bundle.manifest["item_features"]}
    for name, feature in features.items():
        raw = feature["raw"]
        if raw.get("vocabulary") is None:
            continue
        values = read_vocabulary(bundle.path / raw["vocabulary"])
        if len(values) + FIRST_ID != feature["ids"]:
            raise BundleError(
                f"The vocabulary of {name!r} should have {feature['ids'] - FIRST_ID} values, one "
                f"for each embedding; it has {len(values)}. It was changed: export again."
            )
        if raw["ids_of"] is not None:
            table = bundle.users if raw["ids_of"] == USER_ID else bundle.items
            ids = table.raw(raw["ids_of"]).to_pylist()
            wrong = next(
                (i for i, (a, b) in enumerate(zip(values, ids, strict=False)) if a != b), None
            )
            if wrong is not None:
                raise BundleError(
                    f"The vocabulary of {name!r} should have {ids[wrong]!r} at row {wrong}; it has "
                    f"{values[wrong]!r}. It was changed: export again."
                )
        sizes[name] = len(values)
    return {"values": sizes}


def check_encoding(bundle: Bundle) -> dict[str, Any]:
    """Raw features, encoded as a request's are, give the encoded ones that the towers took."""
    checked = 0
    for encoder, table, features in (
        (bundle.raw_queries, bundle.users, bundle.manifest["query_features"]),
        (bundle.raw_items, bundle.items, bundle.manifest["item_features"]),
    ):
        shown = comparable(table, features)
        rows = spread(len(table))
        for row, values in zip(rows, table.rows(rows), strict=True):
            found = encoder.encode(_given(values, bundle.manifest["as_of"], shown))
            held = table.batch(shown, np.array([row]))
            for name, expected in held.items():
                if len(found[name]) != len(expected) or not np.allclose(
                    found[name], expected, atol=TOLERANCE, rtol=TOLERANCE
                ):
                    column = name.partition("__")[0]
                    raise BundleError(
                        f"The raw {column} {values.get(column)!r} of {values[table.key]!r} should "
                        f"be encoded as {expected.tolist()}, as in training; it is "
                        f"{found[name].tolist()}. A vocabulary or a table was changed: export "
                        "again."
                    )
            checked += 1
    return {"rows": checked}


def check_embeddings(bundle: Bundle) -> dict[str, Any]:
    """Item embeddings are finite, and the same in the Parquet file as in the index."""
    vectors = bundle.index.vectors
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise BundleError(
            f"Item embeddings should be finite. {len(bad)} hold NaN or infinity, first that of "
            f"{bundle.items.raw(ITEM_ID)[int(bad[0])].as_py()!r}. Train again with a lower "
            "`train.learning_rate`."
        )
    table = pq.read_table(bundle.path / "item_embeddings.parquet")
    ids = table.column(ITEM_ID).to_numpy()
    if not np.array_equal(ids, np.arange(FIRST_ID, FIRST_ID + len(bundle.items))):
        raise BundleError(
            "item_embeddings.parquet should have the item ids in the order of the catalogue. Rows "
            "were swapped or are missing: export again."
        )
    for column in range(vectors.shape[1]):
        if not np.array_equal(table.column(str(column)).to_numpy(), vectors[:, column]):
            raise BundleError(
                "item_embeddings.parquet should hold the vectors of the index; they differ. The "
                "index is stale, or the file was changed: export again."
            )
    return {"items": len(vectors), "dim": int(vectors.shape[1])}


def check_collapse(bundle: Bundle) -> dict[str, Any]:
    """Item embeddings tell items apart: see `collapse`."""
    share, rank = collapse(bundle.index.vectors)
    dim = bundle.index.vectors.shape[1]
    floors = bundle.manifest["recipe"]["export"]["gates"]
    found = {"distinct_share": share, "effective_rank": rank}
    if len(bundle.items) < 3:
        return found
    for key, name, value, floor in (
        ("min_distinct", "share of distinct ones", share, floors["min_distinct"]),
        ("min_rank", "effective rank", rank, min(floors["min_rank"], dim / 2)),
    ):
        if value < floor:
            raise BundleError(
                f"Item embeddings should not be collapsed: their {name} should be at least "
                f"{floor:g} (`export.gates.{key}`) and is {value:.3g}. Train longer, with another "
                "`train.learning_rate`, or with features that tell the items apart."
            )
    return found


def check_index(bundle: Bundle) -> dict[str, Any]:
    """The index is of these items, and finds what a search through all of them does."""
    told, index = bundle.manifest["index"], bundle.index
    if index.vectors.shape != (len(bundle.items), bundle.manifest["dim"]):
        raise BundleError(
            f"The index should hold {len(bundle.items)} vectors of {bundle.manifest['dim']} "
            f"numbers; it holds {index.vectors.shape}. It is stale: export again."
        )
    if "recall" in told and told["recall"] is not None:
        recall = told["recall"]
        if recall["value"] < recall["floor"]:
            raise BundleError(
                f"The index should find {recall['floor']:g} of the best {recall['k']}; it found "
                f"{recall['value']:.4f}. Raise `export.index.expansion_search`, or choose "
                "`export.index: exact`."
            )
    return {"kind": told["kind"]}


def check_item_tower(bundle: Bundle) -> dict[str, Any]:
    """The item tower in ONNX gives the embeddings that the index holds."""
    rows = spread(len(bundle.items))
    found = bundle.embed_known_items(rows)
    difference = np.abs(found - bundle.index.vectors[rows]).max(axis=1)
    worst = int(np.argmax(difference))
    if not difference[worst] <= TOLERANCE:
        raise BundleError(
            f"The item tower should give {bundle.items.raw(ITEM_ID)[int(rows[worst])].as_py()!r} "
            f"the vector that the index holds; they differ by {difference[worst]:.3g}. The index "
            "is stale, or the table of items was changed: export again."
        )
    return {"items": len(rows), "max_abs_difference": float(difference.max())}


def collapse(vectors: NDArray[np.float32]) -> tuple[float, float]:
    """Return the share of distinct vectors, and the effective rank of the centred ones.

    The effective rank is the exponential of the entropy of the singular values' shares (Roy and
    Vetterli, EUSIPCO 2007): 0 of vectors that are all alike, at most the dimension.
    """
    if not len(vectors):
        return 1.0, 0.0
    distinct = len(np.unique(np.ascontiguousarray(vectors).view(f"V{vectors[0].nbytes}")))
    sample = vectors[spread(len(vectors), 20 * SAMPLE)].astype(np.float64)
    singular = np.linalg.svd(sample - sample.mean(axis=0), compute_uv=False)
    scale = np.abs(sample).max() * np.finfo(np.float32).eps * len(sample)
    shares = singular[singular > scale]
    if not len(shares):
        return distinct / len(vectors), 0.0
    shares = shares / shares.sum()
    return distinct / len(vectors), float(np.exp(-(shares * np.log(shares)).sum()))


def spread(count: int, sample: int = SAMPLE) -> NDArray[np.int64]:
    """Return up to `sample` rows, evenly over all."""
    return np.unique(np.linspace(0, count - 1, min(count, sample)).astype(np.int64))


def comparable(table: IdTable, features: Mapping[str, Any]) -> dict[str, Any]:
    """Return the features that a table has both raw and encoded."""
    held = set(table.data.schema.names)
    return {
        name: feature
        for name, feature in features.items()
        if feature["raw"]["kind"] != "encoded" and {name, RAW_PREFIX + name} <= held
    }


def _given(values: Mapping[str, Any], as_of: Any, features: Mapping[str, Any]) -> dict[str, Any]:
    timed = any(feature["raw"]["kind"] == "age" for feature in features.values())
    given = {name: values[name] for name in features}
    return given | {TIMESTAMP: as_of} if timed else given


def _first_difference(one: Any, other: Any) -> int | None:
    if one.cast(other.type).equals(other):
        return None
    pairs = zip(one.to_pylist(), other.to_pylist(), strict=True)
    return next(row for row, (a, b) in enumerate(pairs) if a != b)
