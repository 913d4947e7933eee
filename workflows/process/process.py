"""Canonical tables to processed splits: split, fit NVTabular on training, encode."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from towermill.columns import TIMESTAMP
from towermill.errors import DataError
from towermill.processed import SPLITS, ProcessedFolder, Stats
from towermill.workflows.dataset import open_dataset
from towermill.workflows.graph.write import write, write_schema
from towermill.workflows.process.base import EventKind
from towermill.workflows.process.earlier_run import Earlier
from towermill.workflows.process.inputs import require_values
from towermill.workflows.process.summary import summarize, warn_of_losses
from towermill.workflows.process.user_lists import write_seen
from towermill.workflows.report import report
from towermill.workflows.tables import row_count


def process(
    events: EventKind[Any], out: Path, earlier: Path | None = None, share: float = 0.0
) -> None:
    """Write the processed data set: see `towermill.processed.ProcessedFolder`.

    Parameters
    ----------
    events
        The tables and the sections of the recipe, as a class of `PROCESSES`.
    out
        An empty folder.
    earlier
        The processed data of the run being continued: ids, features and counts are extended.
    share
        Earlier training rows to replay for each new one: see `replay`.

    Raises
    ------
    DataError
        A feature's column is missing or of another type, a filter or split leaves nothing, or the
        text or vectors of articles cannot be read.
    RecipeError
        Features contradict one another, do not suit the events, would give two items one id, or
        differ from those of `earlier`.
    """
    folder, scratch = ProcessedFolder(out), out / "scratch"
    before = None if earlier is None else Earlier(earlier)
    if before is not None:
        before.require_same(events.columns, events.tables.log)
        events = replace(events, tables=events.continued(before))
    events.check()
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)

    splits = events.write_raw(scratch, before)
    raw = splits.paths
    if before is None:
        require_values(raw["fit"], events.columns)
    workflow = events.build(raw["fit"], scratch / "vocabularies")
    workflow.fit(open_dataset(raw["fit"]), None if before is None else before.folder.workflow)

    encode = events.rows(workflow)
    rows: dict[str, int] = {
        name: write(encode, open_dataset(raw[name]), folder.split(name))
        for name in SPLITS
        if name in raw
    }
    if empty := [name for name, count in rows.items() if count == 0]:
        raise DataError(
            f"`features.positive` should leave rows in each split; it left none in {empty[0]}. "
            "Lower the minimum or add values, or choose another split."
        )
    as_of = _last_moment(events.dated(raw), before)
    written = dict(rows)
    text = events.write_tables(workflow, raw, as_of, folder, before)
    write_seen(events.met(), out, scratch, None if before is None else before.seen)
    events.write_histories(folder, scratch, before)
    if before is not None and (replayed := events.add_earlier(before, folder, share)):
        rows["replayed"] = replayed

    write_schema(events.schema(workflow, text, before), out)
    workflow.save(folder.workflow)
    domains = {c.name: c.int_domain for c in workflow.output_schema}
    users, items = (row_count(pl.scan_parquet(path)) for path in (folder.users, folder.items))
    read = row_count(events.tables.log)
    summary = summarize(events.tables.events, read, splits, written, users, items)
    Stats(
        rows=rows,
        users=users,
        items=items,
        title=next((n for n, f in events.columns["item"].items() if not f.encoder.is_input), None),
        vocabularies={n: int(domain.max) + 1 for n, domain in domains.items() if domain},
        as_of=as_of,
        columns=events.columns,
        text=text.stats,
        parts=events.parts,
        summary=summary,
    ).write(folder)
    report("process", summary)
    warn_of_losses(summary, events.split)
    # Lookup tables would stay in memory beside the training, or in the workers.
    workflow.executor._clear_worker_cache()
    shutil.rmtree(scratch)


def _last_moment(frame: pl.LazyFrame, before: Earlier | None) -> datetime | None:
    if TIMESTAMP not in frame.collect_schema().names():
        return None
    last: datetime = frame.select(pl.col(TIMESTAMP).max()).collect(engine="streaming").item()
    return last if before is None or before.as_of is None else max(last, before.as_of)
