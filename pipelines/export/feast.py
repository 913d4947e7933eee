"""Write Feast definitions for a bundle's Parquet files, so that Feast can serve its features."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Container
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from towermill.columns import EVENT_TIMESTAMP, ITEM_ID, RAW_PREFIX, USER_ID
from towermill.errors import BundleError

logger = logging.getLogger(__name__)

#: Entities, and what names one.
_IDS: Final = {"user": USER_ID, "item": ITEM_ID}
#: Feast's types by those of Arrow, the first that fits.
_TYPES: Final = (
    (pa.types.is_boolean, "Bool"),
    (lambda kind: pa.types.is_integer(kind) and kind.bit_width < 32, "Int32"),
    (pa.types.is_int32, "Int32"),
    (pa.types.is_integer, "Int64"),
    (lambda kind: pa.types.is_float16(kind) or pa.types.is_float32(kind), "Float32"),
    (pa.types.is_float64, "Float64"),
    (lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind), "String"),
    (pa.types.is_timestamp, "UnixTimestamp"),
)

_STORE: Final = """\
# Written by `towermill`. Run Feast in this folder, wherever it is: `feast apply`.
project: {project}
provider: local
registry: data/registry.db
online_store:
  type: sqlite
  path: data/online_store.db
offline_store:
  type: file
entity_key_serialization_version: 3
"""

_HEAD: Final = '''\
"""Written by `towermill`: users and items of the bundle that this folder lies in.

Features are raw (`raw_…`) and encoded as the towers take them. They hold from the end of the
training data on and never expire: the next bundle replaces them.
"""

from datetime import timedelta

from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import {types}
'''

_VIEW: Final = """
{name} = Entity(name="{name}", join_keys=["{key}"], value_type=ValueType.{kind})
{name}_features = FeatureView(
    name="{name}_features",
    entities=[{name}],
    ttl=timedelta(0),
    schema=[
{fields}
    ],
    source=FileSource(
        name="{name}_features_source",
        path="../{name}_features.parquet",
        timestamp_field="{timestamp}",
        field_mapping={mapping},
    ),
)
"""


def write_feast(bundle: Path, project: str) -> None:
    """Write ``feast/feature_store.yaml`` and ``feast/features.py`` into a bundle.

    Entities are ``user`` and ``item``, joined by ``raw_user_id`` and ``raw_item_id``; the views
    ``user_features`` and ``item_features`` have every column that Feast has a type for. What is in
    a name beside letters, digits and ``_`` becomes ``_``.

    Parameters
    ----------
    bundle
        A bundle's folder with ``user_features.parquet`` and ``item_features.parquet``, both with a
        column ``event_timestamp`` (`EVENT_TIMESTAMP`).
    project
        What Feast shall call it, as the recipe is called.

    Raises
    ------
    BundleError
        A table or its id or `EVENT_TIMESTAMP` is missing, or ids are neither integers nor text.
    """
    schemas = {key: _schema(bundle, name, key) for name, key in _IDS.items()}
    views = [_view(name, key, schemas[key]) for name, key in _IDS.items()]
    types = {
        word
        for schema in schemas.values()
        for _, _, kind in _fields(schema)
        for word in re.findall(r"\w+", kind)
    }
    folder = bundle / "feast"
    folder.mkdir(exist_ok=True)
    # Of letters, digits and _ alone: it becomes part of the names of tables.
    project = re.sub(r"\W", "_", project, flags=re.ASCII).strip("_") or "towermill"
    (folder / "feature_store.yaml").write_text(_STORE.format(project=project), encoding="utf-8")
    head = _HEAD.format(types=", ".join(sorted(types)))
    (folder / "features.py").write_text("".join([head, *views]), encoding="utf-8")


def _view(name: str, key: str, schema: pa.Schema) -> str:
    fields = _fields(schema)
    for column in schema.names:
        if column not in {name for name, _, _ in fields} | {EVENT_TIMESTAMP}:
            kind = schema.field(column).type
            logger.warning("Feast has no type for %s: %s.%s is left out", kind, name, column)
    integers = pa.types.is_integer(schema.field(RAW_PREFIX + key).type)
    return _VIEW.format(
        name=name,
        key=RAW_PREFIX + key,
        kind="INT64" if integers else "STRING",
        fields="\n".join(
            f"        Field(name={json.dumps(given)}, dtype={kind})," for _, given, kind in fields
        ),
        timestamp=EVENT_TIMESTAMP,
        mapping={column: given for column, given, _ in fields if column != given},
    )


def _schema(bundle: Path, name: str, key: str) -> pa.Schema:
    path = bundle / f"{name}_features.parquet"
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise BundleError(
            f"Expected a table at {path} ({error}). Export the bundle again."
        ) from error
    for column in (RAW_PREFIX + key, EVENT_TIMESTAMP):
        if column not in schema.names:
            raise BundleError(
                f"{path} should have a column {column!r}. It has: {', '.join(schema.names)}."
            )
    kind = schema.field(RAW_PREFIX + key).type
    if _feast_type(kind) not in ("Int32", "Int64", "String"):
        raise BundleError(f"Ids in {path} should be integers or text. They are of type {kind}.")
    return schema


def _fields(schema: pa.Schema) -> list[tuple[str, str, str]]:
    """Return column, name that Feast takes, and type of each field."""
    fields: list[tuple[str, str, str]] = []
    for column in schema:
        kind = _feast_type(column.type)
        if kind is not None and column.name != EVENT_TIMESTAMP:
            taken = {name for _, name, _ in fields} | set(schema.names)
            fields.append((column.name, _allowed(column.name, taken), kind))
    return fields


def _feast_type(kind: pa.DataType) -> str | None:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        one = _feast_type(kind.value_type)
        return None if one is None or one.startswith("Array") else f"Array({one})"
    return next((name for fits, name in _TYPES if fits(kind)), None)


def _allowed(name: str, taken: Container[str]) -> str:
    """Return a unique name that Feast accepts."""
    allowed = re.sub(r"\W", "_", name)
    while allowed != name and allowed in taken:
        allowed += "_"
    return allowed
