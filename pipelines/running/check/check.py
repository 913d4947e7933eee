"""`towermill check`: what deserves attention in a recipe's data, before anything is trained."""

from __future__ import annotations

import json
from pathlib import Path

from towermill.pipelines.recipe.recipe import Recipe
from towermill.pipelines.running.check.columns import columns
from towermill.pipelines.running.check.drift import drift
from towermill.pipelines.running.check.findings import Finding, Level
from towermill.pipelines.running.check.rows import repeated, rows
from towermill.pipelines.running.check.splits import cold, order, shared
from towermill.pipelines.running.plan import Selection
from towermill.pipelines.running.run import run
from towermill.processed import ProcessedFolder, Stats

#: Tables of `prepare`, beside the events.
_TABLES = ("items", "users")


def check(recipe: Recipe, out: str | Path) -> list[Finding]:
    """Run `prepare` and `process` where they have not, and look at what they wrote.

    Returns
    -------
    list of Finding
        Those that deserve most attention first.

    Raises
    ------
    TowermillError
        The data is refused: the message says why.
    """
    folders = {step.stage.name: step.folder for step in run(recipe, out, Selection(last="process"))}
    prepared = json.loads((folders["prepare"] / "stats.json").read_text())
    folder = ProcessedFolder(folders["process"])
    stats = Stats.read(folder)
    summary, events = stats.summary, prepared["events"]
    found: list[Finding] = []
    if summary is not None:
        found += [*rows(prepared, summary), *cold(summary), *order(summary)]
    found += [*repeated(folders["prepare"] / f"{events}.parquet"), *shared(folder)]
    for table in (events, *_TABLES):
        found += columns(folders["prepare"] / f"{table}.parquet", table)
    found += drift(folder, stats)
    levels = list(Level)
    return sorted(found, key=lambda finding: levels.index(finding.level))
