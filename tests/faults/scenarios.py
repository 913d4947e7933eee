"""The commands that are disturbed, and what each must leave behind in the end."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

#: A shop that trains in seconds.
TINY = """
source: {kind: synthetic, users: 200, items: 40, interactions: 2000}
split: {kind: random, by: user}
model: {tower: [8], embedding_dim: 8}
train: {epochs: 1, batch_size: 512}
tune: {parameters: {train.learning_rate: {choices: [0.001, 0.01]}}}
"""
#: The same with more interactions, to go on with.
NEXT = TINY.replace("kind: synthetic", "kind: synthetic, seed: 7")
SLATES = """
source: {kind: slates, users: 120, items: 200, categories: 4, shown: 60}
split: {kind: random, by: user}
text: {columns: [headline, short_description], vectors: lsa}
model: {kind: funk_svd, factors: 8}
train: {epochs: 1}
simulate: {train_users: 60, episodes: 1, policies: [random, model]}
"""
NEWS = """
source: {kind: news, users: 60, articles: 200, impressions: 200, topics: 4, hidden: 30}
split: {kind: given}
features: {history_size: 4}
text: {title_size: 4, word_dim: 4}
model: {kind: nrms, heads: 2, head_dim: 4, attention_dim: 4}
train: {epochs: 1, batch_size: 64}
"""
_FILES = {"tiny.yaml": TINY, "next.yaml": NEXT, "slates.yaml": SLATES, "news.yaml": NEWS}


@dataclass(frozen=True)
class Scenario:
    """A command, and those that must have been run before it.

    Attributes
    ----------
    name
        What is disturbed.
    command
        The arguments of `towermill`.
    results
        Patterns of the files whose content must be that of an undisturbed run.
    before
        Commands that prepare the folder, undisturbed.
    improves
        Whether the results are written again as they improve: an interrupted command leaves whole
        files, of which only the last is that of an undisturbed run.
    points
        How many changes of files are disturbed in ``make test-faults``, by each kind of fault.
    """

    name: str
    command: str
    results: tuple[str, ...]
    before: tuple[str, ...] = ()
    improves: bool = False
    points: int = 10


_RUN = ("runs/{}/latest/process/*/*.parquet", "runs/{}/latest/evaluate/metrics.json")
_BUNDLE = "runs/{}/latest/bundle/item_embeddings.parquet"


def _of(recipe: str, *patterns: str) -> tuple[str, ...]:
    return tuple(pattern.format(recipe) for pattern in patterns)


SCENARIOS = [
    Scenario(
        "prepare and process",
        "run tiny.yaml --to process",
        _of("tiny", "runs/{}/process/*/train/*.parquet", "runs/{}/process/*/*.parquet"),
        points=60,
    ),
    Scenario("a whole run", "run tiny.yaml", _of("tiny", *_RUN, _BUNDLE), points=20),
    Scenario(
        "export",
        "run tiny.yaml --only export",
        _of("tiny", _BUNDLE),
        ("run tiny.yaml --to evaluate",),
        points=20,
    ),
    Scenario(
        "a continued run",
        "run next.yaml --continue-from runs/tiny/latest --to process",
        _of("next", "runs/{}/process/*/*.parquet"),
        ("run tiny.yaml",),
        points=20,
    ),
    Scenario(
        "tune",
        "tune tiny.yaml --trials 2",
        _of("tiny", "runs/{}/tune/*/best.yaml"),
        improves=True,
        points=8,
    ),
    Scenario(
        "simulate",
        "simulate slates.yaml",
        _of("slates", "runs/{}/simulations/*/scores.csv"),
        ("run slates.yaml",),
        points=10,
    ),
    Scenario(
        "predict",
        "predict runs/news/latest --out predictions",
        ("predictions/*.txt",),
        ("run news.yaml",),
        points=8,
    ),
    Scenario(
        "recommend to all",
        "recommend runs/tiny/latest/bundle --all --out all.parquet",
        ("all.parquet",),
        ("run tiny.yaml",),
        points=8,
    ),
    Scenario(
        "embed-items",
        "embed-items runs/tiny/latest/bundle items.parquet --out made/e.parquet",
        ("made/e.parquet",),
        ("run tiny.yaml",),
        points=8,
    ),
    Scenario(
        "Triton",
        "export runs/tiny/latest/bundle --triton models",
        ("models/*/config.pbtxt",),
        ("run tiny.yaml",),
        points=20,
    ),
]


def write_files(folder: Path) -> None:
    """Write the recipes."""
    for name, text in _FILES.items():
        (folder / name).write_text(text)


def write_items(folder: Path) -> None:
    """Write the items that `embed-items` reads, if there is a bundle to take them from."""
    bundle = folder / "runs" / "tiny" / "latest" / "bundle" / "item_features.parquet"
    if bundle.is_file():
        raw = pl.read_parquet(bundle).select(pl.col("^raw_.*$").name.map(_plain))
        raw.write_parquet(folder / "items.parquet")


def _plain(name: str) -> str:
    return name.removeprefix("raw_")


def digests(folder: Path, patterns: tuple[str, ...]) -> dict[str, str]:
    """Return a digest of the rows or text of each file that a command made."""
    found = {}
    for pattern in patterns:
        for path in sorted(folder.glob(pattern)):
            if ".partial" in str(path):
                continue
            found[str(path.relative_to(folder))] = hashlib.sha256(_content(path)).hexdigest()
    return found


def _content(path: Path) -> bytes:
    readers: dict[str, Callable[[Path], bytes]] = {
        ".parquet": lambda file: pl.read_parquet(file).write_ipc(None).getvalue(),
        ".json": lambda file: json.dumps(json.loads(file.read_text()), sort_keys=True).encode(),
    }
    return readers.get(path.suffix, Path.read_bytes)(path)


def copy(source: Path, target: Path) -> None:
    """Copy a prepared folder; links stay links."""
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)


#: Kinds of faults at a change of a file.
FAULTS = ("kill", "refuse")


def _points(scenario: Scenario, count: int, fault: str) -> list[tuple[Scenario, str, float]]:
    """Return points all over the changes that a command makes, as shares of their number."""
    rng = np.random.default_rng([len(scenario.name), FAULTS.index(fault)])
    return [(scenario, fault, float((i + rng.random()) / count)) for i in range(count)]


#: Every point of ``make test-faults``, and those of the test suite.
POINTS = [
    point
    for scenario in SCENARIOS
    for fault in FAULTS
    for point in _points(scenario, scenario.points, fault)
]
SAMPLE = [
    point for scenario in SCENARIOS[:1] for fault in FAULTS for point in _points(scenario, 2, fault)
]
