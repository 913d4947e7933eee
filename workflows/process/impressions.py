"""Impression tables to processed splits: cut histories, fit NVTabular, encode, tokenise."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

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
    TIMESTAMP,
    TOKENS,
    TRAIN_COUNT,
    USER_ID,
    VECTOR,
    Entity,
)
from towermill.errors import DataError, RecipeError, did_you_mean
from towermill.features.config import Features
from towermill.workflows.config import FeatureConfig, check_for_impressions, described
from towermill.workflows.dataset import open_dataset
from towermill.workflows.graph.build import build_impression_workflow
from towermill.workflows.graph.workflow import Workflow
from towermill.workflows.graph.write import to_table, write, write_schema
from towermill.workflows.process.earlier_run import Earlier, seen_before
from towermill.workflows.process.impression_inputs import with_columns, write_raw_impressions
from towermill.workflows.process.interaction_inputs import filled, typed
from towermill.workflows.process.replay import replay_impressions
from towermill.workflows.process.seen import write_seen
from towermill.workflows.process.shared import vocabulary
from towermill.workflows.selecting.split import Split
from towermill.workflows.tables import ImpressionTables, row_count, sink
from towermill.workflows.text.config import TextConfig
from towermill.workflows.text.items import EncodedText, encode_articles

#: What passes through the workflow unchanged.
_PASSED = (IMPRESSION_ID, HISTORY_ID, TIMESTAMP, LABELS)
_TAKEN = (*_PASSED, USER_ID, ITEM_ID, INVIEW, CLICKED, HISTORY, PUBLISHED, TOKENS, VECTOR)


def process_impressions(
    tables: ImpressionTables,
    config: Split,
    features: FeatureConfig,
    text: TextConfig,
    out: Path,
    earlier: Path | None = None,
    share: float = 0.0,
) -> None:
    """Write the processed impressions into the empty folder `out`.

    With `earlier`, the processed impressions of a run to continue, ids, articles, users, counts
    and the tokenizer go on from there, and for each training impression `share` of its own come
    along, with their histories: see `replay`.

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
    ``schema.pbtxt``, ``workflow/``, ``seen.parquet``
        As `process` writes them. Articles share one vocabulary, fitted
        on what was shown, clicked and read in training and on the items table: all that can be
        recommended, new articles included.
    ``stats.json``
        Impressions by split, users and articles, the moment of the last impression, counts of the
        text, the item feature that is its title, and how each of the items' columns is read.
    ``text/``
        The tokenizer, and what was made of the text.

    Raises
    ------
    DataError
        A feature's column is missing or of another type, a split is empty, or the text or the
        vectors are not as `encode_articles` needs them.
    RecipeError
        Features contradict one another, are of a kind that impressions do not have, or are not
        those of `earlier`.
    """
    check_for_impressions(features, config)
    columns = features.over(tables.features)
    before = None if earlier is None else Earlier(earlier)
    if before is not None:
        before.require_same(columns, tables.impressions)
        tables = before.completed_impressions(tables, given=text.vectors is None)
    _check(tables, columns)
    scratch = out / "scratch"
    scratch.mkdir(parents=True)
    raw = write_raw_impressions(tables, columns, config, features.history_size, scratch)
    workflow = build_impression_workflow(
        columns,
        {str(name): feature for name, feature in features.ids.items()},
        _PASSED,
        scratch / "vocabularies",
    )
    workflow.fit(open_dataset(raw["fit"]), None if before is None else before.workflow)

    impressions = workflow.get_subworkflow("impression")
    rows: dict[str, int] = {
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
    words = None if before is None else before.path / "text"
    made = encode_articles(articles, met, given, text, out / "text", words)
    articles = articles.with_columns(made.columns).join(
        _clicks(out / "train", before), on=ITEM_ID, how="left", maintain_order="left"
    )
    articles.with_columns(pl.col(TRAIN_COUNT).fill_null(0)).write_parquet(out / "items.parquet")
    _write_users(tables, workflow, out, before)
    write_seen(_log(tables), out, scratch, None if before is None else seen_before(before.path))
    if before is not None and (replayed := replay_impressions(before, out, share)):
        rows["replayed"] = replayed
    write_schema(_schema(workflow, features.history_size, made), out)
    workflow.save(str(out / "workflow"))
    stats = {
        "rows": rows,
        "title": next((n for n, f in columns["item"].items() if not f.encoder.is_input), None),
        "users": row_count(pl.scan_parquet(out / "users.parquet")),
        "items": articles.height,
        "as_of": _last_moment(tables, before),
        "text": made.stats,
        "columns": {entity: described(named) for entity, named in columns.items()},
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
            if feature.encoder.needs_timestamp:
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
    wanted = [n for n, f in features.items() if f.encoder.is_input]
    inputs = typed(raw.lazy().select(ITEM_ID, *wanted), features, "item")
    types = pl.read_parquet_schema(scratch / "fit.parquet")
    sink(filled(with_columns(inputs, types)), scratch / "articles.parquet")
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


def _last_moment(tables: ImpressionTables, before: Earlier | None) -> str:
    """Return the moment of the last impression."""
    last = tables.impressions.select(pl.col(TIMESTAMP).max()).collect(engine="streaming").item()
    moments = [last, before and before.as_of]
    return str(max(moment for moment in moments if moment is not None).isoformat())


def _clicks(train: Path, before: Earlier | None) -> pl.DataFrame:
    """Return each clicked article, encoded, and its clicks, earlier ones included."""
    clicked = pl.scan_parquet(train / "*.parquet").select(
        pl.col(CLICKED).explode(empty_as_null=False).alias(ITEM_ID)
    )
    counts = clicked.group_by(ITEM_ID).agg(pl.len().cast(pl.Int64).alias(TRAIN_COUNT))
    if before is not None:
        parts = [counts, before.table("item").select(ITEM_ID, TRAIN_COUNT)]
        counts = pl.concat(parts).group_by(ITEM_ID).agg(pl.col(TRAIN_COUNT).sum())
    return counts.collect()


def _write_users(
    tables: ImpressionTables, workflow: Workflow, out: Path, before: Earlier | None
) -> None:
    known = vocabulary(workflow, USER_ID)
    latest = tables.histories.group_by(USER_ID).agg(pl.col(HISTORY_ID).max() + 1).collect()
    raw = known.join(latest, on=USER_ID, how="left", maintain_order="left")
    read = pl.read_parquet(out / "histories.parquet")[raw[HISTORY_ID].fill_null(0)]
    if before is not None:  # who has no history in the new data has the one of before
        had = before.table("user").select(HISTORY).collect()
        had = pl.concat([had, read[had.height :]])
        without = raw[HISTORY_ID].is_null()
        read = read.with_columns(
            pl.when(without).then(had[HISTORY]).otherwise(read[HISTORY]).alias(HISTORY)
        )
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
