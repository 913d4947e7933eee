"""The gates of a bundle's files, ids, tables and vocabularies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from towermill.columns import FIRST_ID, RAW_PREFIX, TIMESTAMP, USER_ID
from towermill.errors import BundleError
from towermill.features.inputs import ModelInput
from towermill.pipelines.bundle.bundle import Bundle
from towermill.pipelines.bundle.manifest import check_digests
from towermill.pipelines.bundle.raw_features import read_vocabulary
from towermill.pipelines.bundle.tables import BY_ID, IdTable
from towermill.pipelines.gates.sample import TOLERANCE, spread


def check_files(bundle: Bundle) -> dict[str, Any]:
    """Every file is the one that was published."""
    check_digests(bundle.path, bundle.manifest)
    return {"files": len(bundle.manifest.files)}


def check_ids(bundle: Bundle) -> dict[str, Any]:
    """Ids are unique; encoded ones run from 3 by row; raw ones are found at their rows."""
    rows = bundle.manifest.rows
    for table, what, count in (
        (bundle.users, "users", rows.users),
        (bundle.items, "items", rows.items),
    ):
        ids = table.raw(table.key)
        distinct = len(ids.unique())
        if ids.null_count or distinct != len(ids):
            twice = ids.value_counts().to_pylist()
            example = next((v["values"] for v in twice if v["counts"] > 1), None)
            raise BundleError(
                f"The {what} of the bundle should have one row per id. {len(ids) - distinct} "
                f"ids occur in more than one, such as {example!r}. Process the data again."
            )
        encoded = table.data.column(table.key).to_numpy()
        expected = np.arange(FIRST_ID, FIRST_ID + len(table))
        if not np.array_equal(encoded, expected) or len(table) != count:
            wrong = np.flatnonzero(encoded != expected)
            place = f"; row {wrong[0]} has {encoded[wrong[0]]}" if len(wrong) else ""
            raise BundleError(
                f"Encoded ids of the {what} should run from {FIRST_ID} by row, for "
                f"{count} rows; there are {len(table)}{place}. Rows were "
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
    """Check that the Parquet files for others equal the reader's own tables, row by row."""
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
    features = {**bundle.manifest.query_features, **bundle.manifest.item_features}
    for name, feature in features.items():
        raw = feature.raw
        if raw.vocabulary is None or feature.ids is None:
            continue
        values = read_vocabulary(bundle.path / raw.vocabulary)
        if len(values) + FIRST_ID != feature.ids:
            raise BundleError(
                f"The vocabulary of {name!r} should have {feature.ids - FIRST_ID} values, one "
                f"for each embedding; it has {len(values)}. It was changed: export again."
            )
        if raw.ids_of is not None:
            table = bundle.users if raw.ids_of == USER_ID else bundle.items
            ids = table.raw(raw.ids_of).to_pylist()
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
        (bundle.raw_queries, bundle.users, bundle.manifest.query_features),
        (bundle.raw_items, bundle.items, bundle.manifest.item_features),
    ):
        shown = comparable(table, features)
        rows = spread(len(table))
        for row, values in zip(rows, table.rows(rows), strict=True):
            found = encoder.encode(
                {name: values[name] for name in shown} | {TIMESTAMP: bundle.manifest.as_of}
            )
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


def comparable(table: IdTable, features: Mapping[str, ModelInput]) -> dict[str, ModelInput]:
    """Return the features that a table has both raw and encoded."""
    held = set(table.data.schema.names)
    return {
        name: feature
        for name, feature in features.items()
        if feature.raw.from_raw and {name, RAW_PREFIX + name} <= held
    }


def _first_difference(one: Any, other: Any) -> int | None:
    if one.cast(other.type).equals(other):
        return None
    pairs = zip(one.to_pylist(), other.to_pylist(), strict=True)
    return next(row for row, (a, b) in enumerate(pairs) if a != b)
