"""Print results on the command line."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from towermill.cli.terminal import print_json, print_table, say

if TYPE_CHECKING:
    from towermill.pipelines import Recipe, Tuned
    from towermill.pipelines.running.check.findings import Finding
    from towermill.pipelines.running.plan import Step

#: Trials of a study in its table.
_SHOWN = 10


def show_result(recipe: Recipe, steps: list[Step], out: Path, as_json: bool) -> None:
    """Show a run: metrics, and where the bundle is."""
    done = [s for s in steps if (s.folder / "manifest.json").is_file()]
    ran = [s.stage.name for s in steps if s.runs]
    latest = out / recipe.name / "latest"
    whole = len(done) == len(steps)
    result: dict[str, Any] = {
        "recipe": recipe.name,
        "ran": ran,
        "stages": {s.stage.name: str(s.folder) for s in done},
        "bundle": str(latest / "bundle") if whole else None,
        "report": str(latest / "report.html") if (latest / "report.html").is_file() else None,
    }
    evaluated = next((s.folder for s in done if s.stage.name == "evaluate"), None)
    metrics = json.loads((evaluated / "metrics.json").read_text()) if evaluated else None
    if as_json:
        print_json(result | {"metrics": metrics})
        return
    if not ran:
        say("Nothing to run: every stage is done.")
    if metrics is not None:
        _show_metrics(metrics)
        for target, found in metrics.get("targets", {}).items():
            values = {name: value for name, value in found.items() if isinstance(value, float)}
            print_table(
                [f"{target}, {found['rows']} rows", "model"],
                [[name, f"{value:.4f}"] for name, value in values.items()],
            )
    if whole:
        typer.echo(f"bundle: {latest / 'bundle'}")
        if result["report"]:
            typer.echo(f"report: {result['report']} (all metrics, slices, curves)")


def show_steps(found: dict[str, Any]) -> None:
    """Print the metrics of a funnel's steps, what the ranker gains, and the weights tried."""
    steps = found["steps"]
    print_table(
        [f"{found['protocol']}, {found['queries']} queries", *steps],
        [[name, *(f"{step[name]:.4f}" for step in steps.values())] for name in steps["retriever"]],
    )
    compared = found["compared"]
    gain, interval = compared["retriever"]["difference"], compared["retriever"]["interval"]
    within = (
        "" if interval is None else f" (95 % interval {interval[0]:+.4f} to {interval[1]:+.4f})"
    )
    typer.echo(
        f"{compared['metric']} of the funnel less that of the retriever alone: {gain:+.4f}{within}"
    )
    tried = found["validation"]
    if tried is not None:
        weights = ", ".join(f"{weight:g} {value:.4f}" for weight, value in tried["weights"].items())
        typer.echo(f"{tried['metric']} on validation by weight: {weights}")
        typer.echo(_advice(tried["best"], found["weight"]))


def _advice(best: float, weight: float) -> str:
    if best == weight:
        return f"The funnel's weight, {weight:g}, is the best of them."
    if best == 0:
        return "The retriever alone is the best of them: recommend from its bundle."
    return f"The best of them is `weight: {best:g}`; the funnel has {weight:g}."


def show_gates(found: list[dict[str, Any]]) -> None:
    """Print each gate, and what it measured or refused."""
    rows = []
    for gate in found:
        said = gate["problem"] or ", ".join(f"{k} {_short(v)}" for k, v in gate["measured"].items())
        rows.append(["ok" if gate["passed"] else "NO", gate["gate"], said])
    print_table(["", "gate", ""], rows)


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return f"of {len(value)}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _show_metrics(metrics: dict[str, Any]) -> None:
    """Print the deciding metric beside the baselines; with ``--verbose``, all metrics."""
    columns = {"model": metrics["metrics"], **metrics["baselines"]}
    what = f"{metrics['protocol']}, {metrics['queries']} queries"
    if logging.getLogger("towermill").isEnabledFor(logging.DEBUG):
        print_table(
            [what, *columns],
            [
                [name, *(f"{values.get(name, math.nan):.4f}" for values in columns.values())]
                for name in metrics["metrics"]
            ],
        )
        return
    deciding, compared = metrics["compared"]["metric"], metrics["compared"]["baselines"]
    order = sorted(columns, key=lambda name: -columns[name].get(deciding, -math.inf))
    print_table(
        [what, deciding, "model is better by", "95 % interval"],
        [
            [name, f"{columns[name].get(deciding, math.nan):.4f}", *_difference(compared.get(name))]
            for name in order
        ],
    )


def _difference(found: dict[str, Any] | None) -> tuple[str, str]:
    if found is None:
        return "", ""
    interval = found["interval"]
    within = "" if interval is None else f"{interval[0]:+.4f} to {interval[1]:+.4f}"
    return f"{found['difference']:+.4f}", within


def show_findings(found: Sequence[Finding]) -> None:
    """Show what a check of the data found, and what to do about it."""
    for one in found:
        if not one.is_ok:
            typer.echo(f"{one.level.value:<6} {one.about}: {one.found}\n       -> {one.advice}")
    print_table(["nothing to do", ""], [[one.about, one.found] for one in found if one.is_ok])


def show_trials(tuned: Tuned) -> None:
    """Print the best trials, and the recipe as it is among them."""
    done = [trial for trial in tuned.trials if trial["state"] == "done"]
    ranked = sorted(done, key=lambda trial: -trial[tuned.metric])
    shown = [trial for i, trial in enumerate(ranked) if i < _SHOWN or trial["own"]]
    hidden = {"state", "own", "reason"}
    columns = [name for name in tuned.trials[0] if name not in hidden] if tuned.trials else []
    last = [name.rpartition(".")[2] for name in columns]
    headers = [s if last.count(s) == 1 else n for s, n in zip(last, columns, strict=True)]
    rows = [
        [_in_short(trial[name]) for name in columns] + ["as it was" * trial["own"]]
        for trial in shown
    ]
    print_table([*headers, ""], rows)
    states = [trial["state"] for trial in tuned.trials]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    typer.echo(f"{len(states)} trials: {counts}")
    if tuned.best is not None:
        typer.echo(f"best: {tuned.folder / 'best.yaml'}")


def _in_short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def show_items(items: Sequence[dict[str, Any]], title: str | None) -> None:
    """Print recommended items, best first, by the feature that people read."""
    rows = []
    for rank, item in enumerate(items, start=1):
        named = item.get(title or "")
        name = str(item["item_id"]) if named is None else f"{named}"
        score = "" if item["score"] is None else f"{item['score']:.4f}"
        rows.append([str(rank), name, str(item["item_id"]), score])
    print_table(["", "item", "item_id", "score"], rows)


def show_simulation(found: dict[str, Any]) -> None:
    """Print each policy's score."""
    rows = []
    for name, figures in found["policies"].items():
        low, high = figures["interval"] or (math.nan, math.nan)
        numbers_of = (figures["steps"], figures["clicks"], figures["steps_per_second"])
        scores = (figures["score"], low, high)
        rows.append([name, *(f"{s:.5f}" for s in scores), *(f"{n:.0f}" for n in numbers_of)])
    headers = ["policy", "score", "from", "to", "slates", "clicks", "slates/s"]
    print_table(headers, rows)
    typer.echo(f"by user: {Path(found['folder']) / 'scores.csv'}")
