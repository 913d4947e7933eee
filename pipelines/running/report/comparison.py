"""The page of a comparison between runs."""

from __future__ import annotations

from pathlib import Path

from towermill.files import replacing
from towermill.pipelines.running.finished.compare import Comparison
from towermill.pipelines.running.report import charts
from towermill.pipelines.running.report.write import page


def write_comparison(found: Comparison, out: Path) -> None:
    """Write a comparison as one HTML page that needs no network."""
    text = render_comparison(found)
    with replacing(out) as file:
        file.write_text(text, encoding="utf-8")


def render_comparison(found: Comparison) -> str:
    """Return a comparison as HTML."""
    names = list(found.runs)
    values = dict(zip(names, found.metrics[found.deciding], strict=True))
    differences = {
        name: (paired.differences[found.deciding], paired.intervals.get(found.deciding))
        for name, paired in found.paired.items()
        if paired is not None and found.deciding in paired.differences
    }
    known = {name: value for name, value in values.items() if value is not None}
    return page(
        "compare.html",
        found=found,
        names=names,
        bars=charts.bars(known, {}, names[0]),
        differences=charts.differences(differences) if differences else None,
    )
