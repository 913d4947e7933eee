"""Impression tables to processed splits: cut histories, fit NVTabular, encode, tokenise."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
from merlin.schema import Schema

from towermill.columns import (
    CLICKED,
    FIRST_ID,
    HIDDEN,
    HISTORY,
    HISTORY_ID,
    IMPRESSION_ID,
    INVIEW,
    ITEM_ID,
    LABELS,
    PUBLISHED,
    RAW_PREFIX,
    SPLIT,
    TIMESTAMP,
    TOKENS,
    TRAIN_COUNT,
    USER_ID,
    VECTOR,
    Entity,
    Features,
)
from towermill.errors import DataError, RecipeError, did_you_mean
from towermill.workflows.config import FeatureConfig, check_for_impressions, described
from towermill.workflows.dataset import open_dataset
from towermill.workflows.features import build_impression_workflow
from towermill.workflows.process import vocabulary
from towermill.workflows.raw_splits import filled, typed
from towermill.workflows.seen import write_seen
from towermill.workflows.splits import Split, split
from towermill.workflows.tables import ImpressionTables, row_count, sink
from towermill.workflows.text.articles import EncodedText, encode_articles
from towermill.workflows.text.config import TextConfig
from towermill.workflows.workflow import Workflow
from towermill.workflows.writing import to_table, write, write_schema

#: What passes through the workflow unchanged.
_PASSED = (IMPRESSION_ID, HISTORY_ID, TIMESTAMP, LABELS)
_TAKEN = (*_PASSED, USER_ID, ITEM_ID, INVIEW, CLICKED, HISTORY, PUBLISHED, TOKENS, VECTOR)


def process_impressions(
    tables: ImpressionTables, config: Split, features: FeatureConfig, text: TextConfig, out: Path
) -> None:
    """Write the processed impressions into the empty folder `out`.

    ``train/ valid/ test/ hidden/``
        Parquet: ``impression_id`` and ``timestamp`` as they came, ``user_id`` and context features
        encoded, ``history_id``, the lists ``inview`` and ``clicked`` of encoded article ids, and
        ``labels``, 1 for each of ``inview`` that was clicked.
        ``hidden`` is there where the source has impressions whose clicks are not told.
    ``histories.parquet``
        Row i is what ``history_id`` i had read, the last `features.history_size` articles, the last
        read last. Row 0 is the empty history.
    ``items.parquet``
        Row i is the article of encoded id i + 3: features, ``tokens`` (see
        `towermill.workflows.text`), ``vector``, ``published``, the raw columns as ``raw_<name>``,
        and ``train_count``, its clicks in training.
    ``users.parquet``
        The users met in training, by encoded id, with their latest ``history``.
    ``schema.pbtxt``, ``workflow/``, ``seen.parquet``, ``stats.json``
        As `towermill.workflows.process.process` writes them. Articles share one vocabulary, fitted
        on what was shown, clicked and read in training and on the items table: all that can be
        recommended, new articles included.
    ``text/``
        The tokenizer, and what was made of the text.

    Raises
    ------
    DataError
        A feature's column is missing, or a split is empty.
    RecipeError
        Features contradict one another, or are of a kind that impressions do not have.
    """
    check_for_impressions(features, config)
    columns = features.over(tables.features)
    _check(tables, columns)
    scratch = out / "scratch"
    scratch.mkdir(parents=True)
    raw = _write_raw(tables, columns, config, features.history_size, scratch)
    workflow = build_impression_workflow(
        columns,
        {str(name): feature for name, feature in features.ids.items()},
        _PASSED,
        scratch / "vocabularies",
    )
    workflow.fit(open_dataset(raw["fit"]))

    impressions = workflow.get_subworkflow("impression")
    rows = {
        name: write(impressions, open_dataset(raw[name]), out / name)
        for name in ("train", "valid", "test", HIDDEN)
        if name in raw
    }
    _encoded(workflow, "history", raw["histories"], [HISTORY]).write_parquet(
        out / "histories.parquet"
    )
    articles = _articles(tables, workflow, columns["item"], scratch)
    given = None if tables.vectors is None else tables.vectors.collect()
    met = articles[ITEM_ID].is_in(_met(raw["fit"], articles))
    made = encode_articles(articles, met, given, text, out / "text")
    articles = articles.with_columns(made.columns).join(
        _clicks(out / "train").collect(), on=ITEM_ID, how="left", maintain_order="left"
    )
    articles.with_columns(pl.col(TRAIN_COUNT).fill_null(0)).write_parquet(out / "items.parquet")
    _write_users(tables, workflow, out)
    write_seen(_log(tables), out, scratch)
    write_schema(_schema(workflow, features.history_size, made), out)
    workflow.save(str(out / "workflow"))
    stats = {
        "rows": rows,
        "title": next((n for n, f in columns["item"].items() if f.kind == "title"), None),
        "users": row_count(pl.scan_parquet(out / "users.parquet")),
        "items": articles.height,
        "as_of": _last_moment(tables),
        "text": made.stats,
        "item_columns": described(columns["item"]),
    }
    (out / "stats.json").write_text(json.dumps(stats, indent=2))
    workflow.executor._clear_worker_cache()
    shutil.rmtree(scratch)


def _check(tables: ImpressionTables, features: Mapping[Entity, Features]) -> None:
    """Refuse what these impressions do not have, before any work."""
    for entity, frame, table in (
        ("item", tables.items, "items"),
        ("context", tables.impressions, "impressions"),
    ):
        held = [] if frame is None else frame.collect_schema().names()
        for name, feature in features[entity].items():  # type: ignore[index]
            if feature.kind in ("hour", "weekday", "age"):
                raise RecipeError(
                    f"`features.{entity}.{name}` should not be of kind {feature.kind}: impressions "
                    "do not have it. For the age of articles, set `model.age: true`."
                )
            if name in _TAKEN:
                raise RecipeError(
                    f"`features.{entity}` should not name {name!r}, a column that every source of "
                    "impressions has."
                )
            if name not in held:
                raise DataError(
                    f"`features.{entity}` names the column {name!r}, which the {table} lack."
                    f"{did_you_mean(name, held)} They have: "
                    f"{', '.join(held) or 'no columns at all'}."
                )


def _write_raw(
    tables: ImpressionTables,
    features: Mapping[Entity, Features],
    config: Split,
    history_size: int,
    scratch: Path,
) -> dict[str, Path]:
    """Write what the workflow reads: each split, histories, items, and all that it is fitted on.

    Each file has every column of the last; those that it has nothing for are null, or empty lists.
    """
    context, own = features.get("context", {}), features.get("item", {})
    impressions = typed(tables.impressions, context, "context").select(
        IMPRESSION_ID,
        TIMESTAMP,
        USER_ID,
        (pl.col(HISTORY_ID).cast(pl.Int32) + 1).fill_null(0),
        pl.col(INVIEW).list.drop_nulls(),
        CLICKED,
        *(n for n, f in context.items() if f.kind != "title"),
        *([SPLIT] if SPLIT in tables.impressions.collect_schema() else []),
    )
    parts = split_impressions(labelled(impressions), config, scratch)
    read = tables.histories.sort(HISTORY_ID).select(
        pl.col(HISTORY_ID).cast(pl.Int32) + 1,
        pl.col(HISTORY).list.drop_nulls().list.tail(history_size),
    )
    nobody = pl.LazyFrame({HISTORY_ID: [0], HISTORY: [[]]}, schema_overrides=read.collect_schema())
    frames = {**parts, "histories": pl.concat([nobody, read])}
    if tables.items is not None:
        wanted = {n: f for n, f in own.items() if f.kind != "title"}
        frames["items"] = typed(tables.items.select(ITEM_ID, *wanted), wanted, "item")
    used = parts["train"].select(HISTORY_ID).unique()
    fit_on = [
        parts["train"],
        read.join(used, on=HISTORY_ID, how="semi").select(HISTORY),
        *([frames["items"]] if "items" in frames else []),
    ]
    whole = filled(pl.concat(fit_on, how="diagonal"))
    paths = {"fit": scratch / "fit.parquet"}
    sink(_with_columns(whole, {ITEM_ID: _inner(tables.impressions, INVIEW)}), paths["fit"])
    types = pl.read_parquet_schema(paths["fit"])
    for name, frame in frames.items():
        paths[name] = scratch / f"{name}.parquet"
        sink(filled(_with_columns(frame, types)), paths[name])
    return paths


def labelled(impressions: pl.LazyFrame) -> pl.LazyFrame:
    """Return the impressions with ``labels``, and ``clicked`` without what was not shown."""
    schema = pl.Schema({**impressions.collect_schema(), LABELS: pl.List(pl.Int8)})
    return impressions.map_batches(_labelled, schema=schema, streamable=True)


def _labelled(rows: pl.DataFrame) -> pl.DataFrame:
    numbered = rows.select(INVIEW, CLICKED).with_row_index("row")
    shown = numbered.select("row", pl.col(INVIEW).alias(ITEM_ID)).explode(
        ITEM_ID, empty_as_null=False, keep_nulls=False
    )
    clicked = numbered.select("row", pl.col(CLICKED).alias(ITEM_ID)).explode(
        ITEM_ID, empty_as_null=False, keep_nulls=False
    )
    marked = shown.join(
        clicked.unique().with_columns(pl.lit(1, pl.Int8).alias(LABELS)),
        on=["row", ITEM_ID],
        how="left",
        maintain_order="left",
    )
    lists = marked.group_by("row", maintain_order=True).agg(
        pl.col(LABELS).fill_null(0), pl.col(ITEM_ID).filter(pl.col(LABELS) == 1).alias(CLICKED)
    )
    found = numbered.select("row").join(lists, on="row", how="left", maintain_order="left")
    return rows.with_columns(found[CLICKED], found[LABELS])


def split_impressions(
    impressions: pl.LazyFrame, config: Split, scratch: Path
) -> dict[str, pl.LazyFrame]:
    """Return ``train``, ``valid``, ``test`` and, where the source has some, ``hidden``.

    Hidden ones are those of the source's split ``hidden``. Nobody is dropped for being new.
    """
    told, parts = impressions, {}
    if SPLIT in impressions.collect_schema():
        hidden = pl.col(SPLIT) == HIDDEN
        told = impressions.filter(~hidden)
        if row_count(impressions.filter(hidden)):
            parts[HIDDEN] = impressions.filter(hidden).drop(SPLIT)
    elif config.kind == "given":
        raise DataError(
            "`split.kind: given` needs a source that has parts; this one has none. Use "
            "`split.kind: time`."
        )
    parts |= split(told, config.model_copy(update={"cold": "keep"}), scratch)
    return {name: part.drop(SPLIT, strict=False) for name, part in parts.items()}


def _with_columns(frame: pl.LazyFrame, types: Mapping[str, Any]) -> pl.LazyFrame:
    held = frame.collect_schema()
    return frame.with_columns(
        pl.lit(None, dtype=kind).alias(name) for name, kind in types.items() if name not in held
    )


def _inner(frame: pl.LazyFrame, name: str) -> Any:
    return frame.collect_schema()[name].inner  # type: ignore[attr-defined]


def _encoded(workflow: Workflow, part: str, raw: Path, columns: Iterable[str]) -> pl.DataFrame:
    table = to_table(workflow.get_subworkflow(part).transform(open_dataset(raw)))
    return table.select(columns)


def _articles(
    tables: ImpressionTables, workflow: Workflow, features: Features, scratch: Path
) -> pl.DataFrame:
    """Return the known articles by encoded id: encoded and raw features, and the raw text columns.

    All columns of the items table stand as ``raw_<name>``.
    """
    ids = vocabulary(workflow, ITEM_ID).select(ITEM_ID)
    raw = ids
    if tables.items is not None:
        raw = ids.join(tables.items.collect(), on=ITEM_ID, how="left", maintain_order="left")
    wanted = [n for n, f in features.items() if f.kind != "title"]
    inputs = typed(raw.lazy().select(ITEM_ID, *wanted), features, "item")
    types = pl.read_parquet_schema(scratch / "fit.parquet")
    sink(filled(_with_columns(inputs, types)), scratch / "articles.parquet")
    encoded = _encoded(workflow, "item", scratch / "articles.parquet", [ITEM_ID, *wanted])
    published = [raw[PUBLISHED]] if PUBLISHED in raw.columns else []
    return pl.concat(
        [
            encoded.with_columns(published),
            raw.drop(PUBLISHED, strict=False).rename(
                {n: RAW_PREFIX + n for n in raw.columns if n != PUBLISHED}
            ),
        ],
        how="horizontal",
    )


def _met(fit: Path, articles: pl.DataFrame) -> pl.Series:
    """Return the encoded ids of articles that were shown or read in training."""
    frame = pl.scan_parquet(fit)
    met = pl.concat(
        frame.select(pl.col(name).explode(empty_as_null=False).alias(ITEM_ID)).unique()
        for name in (INVIEW, HISTORY)
    )
    raw = met.unique().collect()[ITEM_ID]
    return articles.filter(pl.col(RAW_PREFIX + ITEM_ID).is_in(raw.implode()))[ITEM_ID].implode()


def _last_moment(tables: ImpressionTables) -> str:
    """Return the moment of the last impression."""
    last = tables.impressions.select(pl.col(TIMESTAMP).max()).collect(engine="streaming")
    return str(last.item().isoformat())


def _clicks(train: Path) -> pl.LazyFrame:
    """Return each clicked article, encoded, and its clicks."""
    clicked = pl.scan_parquet(train / "*.parquet").select(
        pl.col(CLICKED).explode(empty_as_null=False).alias(ITEM_ID)
    )
    return clicked.group_by(ITEM_ID).agg(pl.len().cast(pl.Int64).alias(TRAIN_COUNT))


def _write_users(tables: ImpressionTables, workflow: Workflow, out: Path) -> None:
    known = vocabulary(workflow, USER_ID)
    latest = tables.histories.group_by(USER_ID).agg(pl.col(HISTORY_ID).max() + 1).collect()
    raw = known.join(latest, on=USER_ID, how="left", maintain_order="left")
    read = pl.read_parquet(out / "histories.parquet")[raw[HISTORY_ID].fill_null(0)]
    ids = pl.int_range(FIRST_ID, FIRST_ID + raw.height, dtype=pl.Int32, eager=True)
    raw.select(
        ids.alias(USER_ID),
        read[HISTORY],
        pl.col(USER_ID).alias(RAW_PREFIX + USER_ID),
        TRAIN_COUNT,
    ).write_parquet(out / "users.parquet")


def _log(tables: ImpressionTables) -> pl.LazyFrame:
    """Return all that users are known to have read: their histories and clicks."""
    lists = ((tables.histories, HISTORY), (tables.impressions, CLICKED))
    return pl.concat(
        frame.select(USER_ID, pl.col(name).alias(ITEM_ID)).explode(ITEM_ID).drop_nulls()
        for frame, name in lists
    )


def _schema(workflow: Workflow, history_size: int, made: EncodedText) -> Schema:
    """Return the schema of all tables: lists with their lengths, and what was made of text."""
    columns = []
    for column in workflow.output_schema:
        if column.name == HISTORY:
            column = column.with_properties({"value_count": {"min": 0, "max": history_size}})
        columns.append(column)
    return Schema([*columns, *made.schema])
