"""Canonical tables to processed splits: filter, split, fit NVTabular on training rows, encode."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from towermill.columns import (
    FIRST_ID,
    ID_OF,
    ITEM_ID,
    RAW_PREFIX,
    RESERVED,
    SPLIT,
    TIMESTAMP,
    TRAIN_COUNT,
    TRAIN_ROWS,
    USER_ID,
    Entity,
)
from towermill.errors import DataError, did_you_mean
from towermill.features.config import Features
from towermill.workflows.config import FeatureConfig, described
from towermill.workflows.dataset import open_dataset
from towermill.workflows.graph.build import build_workflow, require_timestamp
from towermill.workflows.graph.workflow import Workflow
from towermill.workflows.graph.write import to_table, write, write_schema
from towermill.workflows.process.earlier_run import Earlier, counted_rows, seen_before
from towermill.workflows.process.interaction_inputs import filled, typed, write_raw_splits
from towermill.workflows.process.replay import replay
from towermill.workflows.process.seen import write_seen
from towermill.workflows.process.shared import _last_moment, vocabulary
from towermill.workflows.selecting.filters import Filters, apply_filters
from towermill.workflows.selecting.split import Split
from towermill.workflows.tables import Tables, row_count
from towermill.workflows.text.config import TextConfig
from towermill.workflows.text.items import add_vectors, check_text


def process(
    tables: Tables,
    filters: Filters,
    split: Split,
    features: FeatureConfig,
    out: Path,
    text: TextConfig | None = None,
    *,
    earlier: Path | None = None,
    share: float = 0.0,
) -> None:
    """Write the processed data set into the empty folder `out`.

    With `earlier`, the processed data of a run to continue, ids, features and counts go on from
    there, and for each training row `share` rows of its training come along: see `replay`.

    ``train/ valid/ test/``
        Parquet of encoded rows (ids int32, lists of int32, numbers float32).
    ``schema.pbtxt``
        Merlin's schema of these rows: all that a model is built from.
    ``workflow/``
        The NVTabular workflow, fitted on the training split only.
    ``users.parquet``, ``items.parquet``
        One row a known id, by encoded id: encoded features, the raw ones as ``raw_<name>``, and
        the id's ``train_count``; of items with `text.vectors` their ``vector``, too.
    ``seen.parquet``
        Each known user's known items, encoded, over the whole log: those in rows that filters or
        splits left out, too; with `earlier` its own as well, which ``seen_before.parquet`` has
        apart.
    ``stats.json``
        Row counts by split, vocabulary sizes, the moment of the last training row, the
        item feature that is its title, and how each column is read.

    Raises
    ------
    DataError
        A feature's column is missing, a filter or split leaves nothing.
    RecipeError
        Features contradict one another, would give two items one id, or are not those of `earlier`.
    """
    columns = features.over(tables.features)
    text = text or TextConfig()
    before = None if earlier is None else Earlier(earlier)
    if before is not None:
        before.require_same(columns, tables.interactions)
        tables = before.completed(tables, columns, text.columns if text.vectors else ())
    _check_columns(tables, columns, features.positive)
    check_text(tables.items, text)

    scratch = out / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    log, users, items = tables.interactions, tables.users, tables.items
    tables = apply_filters(tables, filters, scratch)
    if before is not None:  # whom no new row names is known all the same
        tables = replace(tables, users=users, items=items)
    _check_numbers(tables, columns)
    known = None if before is None else {k: before.known(e) for e, k in ID_OF.items()}
    splits = write_raw_splits(tables, columns, split, scratch, known)
    if before is None:
        _check_values(splits["train"], columns)
    as_of = _last_moment(splits["train"], before)

    names = pl.scan_parquet(splits["train"]).collect_schema().names()
    inputs = {USER_ID, ITEM_ID, TIMESTAMP, *(n for part in columns.values() for n in part)}
    workflow = build_workflow(
        columns,
        {str(name): feature for name, feature in features.ids.items()},
        [name for name in names if name not in inputs],
        features.positive,
        scratch / "vocabularies",
    )
    data = {name: open_dataset(path) for name, path in splits.items()}
    workflow.fit(data["train"], None if before is None else before.workflow)

    rows = {name: write(workflow, part, out / name) for name, part in data.items()}
    if empty := [name for name, count in rows.items() if count == 0]:
        raise DataError(
            f"`features.positive` should leave rows in each split; it left none in {empty[0]}. "
            "Lower the threshold, or choose another split."
        )
    schema = workflow.output_schema
    write_schema(schema if before is None else before.widths(schema), out)
    workflow.save(str(out / "workflow"))
    _encode_entity(workflow, "user", tables.users, columns, as_of, out, scratch / "user")
    _encode_entity(workflow, "item", tables.items, columns, as_of, out, scratch / "item")
    if text.vectors and tables.items is not None:
        add_vectors(out / "items.parquet", tables.items, text)
    write_seen(log, out, scratch, None if before is None else seen_before(before.path))
    replayed = 0 if before is None else _go_on(before, out, share)
    stats = {
        "rows": rows | ({"replayed": replayed} if replayed else {}),
        "title": next((n for n, f in columns["item"].items() if not f.encoder.is_input), None),
        "users": row_count(pl.scan_parquet(out / "users.parquet")),
        "items": row_count(pl.scan_parquet(out / "items.parquet")),
        "vocabularies": {c.name: int(c.int_domain.max) + 1 for c in schema if c.int_domain},
        "as_of": None if as_of is None else as_of.isoformat(),
        "columns": {entity: described(named) for entity, named in columns.items()},
    }
    (out / "stats.json").write_text(json.dumps(stats, indent=2))
    # Lookup tables would stay in memory beside the training, or in the workers.
    workflow.executor._clear_worker_cache()
    shutil.rmtree(scratch)


def _check_columns(
    tables: Tables, features: Mapping[Entity, Features], positive: Mapping[str, float]
) -> None:
    frames = {"user": tables.users, "item": tables.items, "context": tables.interactions}
    interactions = tables.interactions.collect_schema().names()
    require_timestamp(features, interactions)
    for entity, named in features.items():
        frame = frames[entity]
        held = [] if frame is None else frame.collect_schema().names()
        for name, feature in named.items():
            if not feature.encoder.from_column:
                continue
            if name not in held:
                raise DataError(
                    f"`features.{entity}` names the column {name!r}, which the {entity} table "
                    f"lacks.{did_you_mean(name, held)} It has: "
                    f"{', '.join(held) or 'no columns at all'}."
                )
            if entity != "context" and name in interactions:
                raise DataError(
                    f"`features.{entity}` names the column {name!r}, which the interactions have "
                    "as well. Rename one of the two in the raw data."
                )
    taken = {USER_ID, ITEM_ID, TIMESTAMP, *(n for named in features.values() for n in named)}
    signals = [name for name in interactions if name not in taken]
    for name in signals:
        if (name in RESERVED and name != SPLIT) or name.startswith("__"):
            raise DataError(
                f"The interactions should not have a signal {name!r}: {', '.join(RESERVED)} and "
                "names that begin with '__' are kept for what Towermill writes. Give it another "
                "name in the source."
            )
    for name in positive:
        if name not in signals:
            raise DataError(
                f"`features.positive` should name signals, which are no features. Received "
                f"{name!r}; the interactions have: {', '.join(signals) or 'none'}."
            )


def _check_numbers(tables: Tables, features: Mapping[Entity, Features]) -> None:
    """Refuse what would make a whole feature infinite: infinities, and logs of -1 and below."""
    frames = {"user": tables.users, "item": tables.items, "context": tables.interactions}
    for entity, named in features.items():
        frame = frames[entity]
        numbers = {n: f for n, f in named.items() if f.encoder.raw_numbers}
        if frame is None or not numbers:
            continue
        columns = {n: pl.col(n).cast(pl.Float64) for n in numbers}
        bad = typed(frame, numbers, entity).select(
            (column.is_infinite() | (column.le(-1) if numbers[n].log else False)).sum()
            for n, column in columns.items()
        )
        for name, count in bad.collect(engine="streaming").row(0, named=True).items():
            if count:
                wanted = (
                    "finite numbers above -1, as it has `log`"
                    if numbers[name].log
                    else ("finite numbers")
                )
                raise DataError(
                    f"`features.{entity}.{name}` should hold {wanted}. In {count} rows it does "
                    "not. Mend them in the raw data, or make them null."
                )


def _check_values(train: Path, features: Mapping[Entity, Features]) -> None:
    """Refuse categories and lists without a value in training: there is no vocabulary to make."""
    frame = pl.scan_parquet(train)
    types = frame.collect_schema()
    kinds = {n: f for named in features.values() for n, f in named.items() if f.is_category}
    counts = frame.select(
        (
            pl.col(n).list.drop_nulls().list.len().sum()
            if isinstance(types[n], pl.List)
            else pl.col(n).count()
        ).alias(n)
        for n in kinds
        if n in types
    ).collect(engine="streaming")
    if empty := [n for n in counts.columns if not counts[n].item()]:
        raise DataError(
            f"The feature {empty[0]!r} should have values; in the training split it has none. Look "
            "at the column, and at whether the ids of its table are those of the interactions, or "
            "leave the feature out."
        )


def _go_on(before: Earlier, out: Path, share: float) -> int:
    """Write what only a continued run has; return the number of rows that are replayed."""
    shutil.copy(before.path / "seen.parquet", out / "seen_before.parquet")
    items = pl.read_parquet(out / "items.parquet")
    counts = pl.concat([before.train_rows(), counted_rows(out / "train")])
    summed = counts.group_by(ITEM_ID).agg(pl.col(TRAIN_ROWS).sum())
    items = items.join(summed, on=ITEM_ID, how="left", maintain_order="left")
    items.with_columns(pl.col(TRAIN_ROWS).fill_null(0)).write_parquet(out / "items.parquet")
    return replay(before, out / "train", share)


def _encode_entity(
    workflow: Workflow,
    entity: Entity,
    table: pl.LazyFrame | None,
    features: Mapping[Entity, Features],
    as_of: Any,
    out: Path,
    scratch: Path,
) -> None:
    """Write ``<entity>s.parquet``: the known ids, encoded and raw, in the order of encoded ids."""
    key, own = ID_OF[entity], features.get(entity, {})
    ids = vocabulary(workflow, key)
    raw = ids.select(key)
    if table is not None:
        raw = raw.join(
            typed(table.select(key, *own), own, entity).collect(),
            on=key,
            how="left",
            maintain_order="left",
        )
    part = workflow.get_subworkflow(entity)
    inputs = raw.with_columns(
        pl.lit(as_of if name == TIMESTAMP else None).alias(name)
        for name in part.input_schema.column_names
        if name not in raw.columns
    ).select(part.input_schema.column_names)
    scratch.mkdir()
    filled(inputs.lazy()).sink_parquet(scratch / "raw.parquet")
    wanted = [n for n in (key, *own) if n in workflow.output_schema.column_names]
    encoded = to_table(part.transform(open_dataset(scratch / "raw.parquet"))).select(wanted)
    table_out = pl.concat(
        [encoded, raw.rename({n: RAW_PREFIX + n for n in raw.columns}), ids.select(TRAIN_COUNT)],
        how="horizontal",
    )
    first = table_out[key].item(0) if table_out.height else FIRST_ID
    if entity == "item" and (first != FIRST_ID or table_out[key].n_unique() != table_out.height):
        raise DataError(
            f"Encoded item ids should run from {FIRST_ID} without a gap; found "
            f"{table_out[key].n_unique()} distinct ones from {first} for {table_out.height} items."
        )
    table_out.write_parquet(out / f"{entity}s.parquet")
