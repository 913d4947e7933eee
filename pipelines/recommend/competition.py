"""Write the file that news competitions take: the ranks of every impression's articles."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from towermill.columns import HIDDEN
from towermill.errors import DataError
from towermill.files import replacing
from towermill.models.build import load_model
from towermill.models.configs import MODELS
from towermill.models.configs.base import ModelConfig
from towermill.models.data.impressions import Slates
from towermill.models.evaluation.baselines import chance_of_entries
from towermill.models.evaluation.scoring import SlateScorer, slate_scorer
from towermill.pipelines.bundle.manifest import MANIFEST, parse_manifest
from towermill.progress import progress
from towermill.workflows.sources import SOURCES

logger = logging.getLogger(__name__)

#: Impressions scored and written at a time.
_BLOCK = 100_000


def write_predictions(run: Path, out: Path, split: Literal["validation", "test"] = "test") -> Path:
    """Rank the articles of each impression, and return the zip that was written.

    A line reads ``<impression_id> [r1,r2,…]``, where rᵢ is the rank of the i-th article shown, 1
    for the best: the format of the MIND and of the EB-NeRD competition. Lines are in the order of
    the source. Articles with equal scores are ranked at random, the same in every call.

    Parameters
    ----------
    run
        ``runs/<recipe>/latest``, or another finished run.
    out
        Folder for the text file and its zip; either appears whole or not at all.
    split
        The source's own part. ``test``: the impressions whose clicks are withheld, where there are
        some; else the test split. ``validation``: the split before it.

    Raises
    ------
    DataError
        `split` is neither of the two or has no impressions, the run is not finished or not of
        impressions, or `out` is no folder.
    """
    if split not in ("validation", "test"):
        raise DataError(f"`split` should be test or validation. Received: {split!r}.")
    source, config = _sections_of(run)
    data, model = load_model(run / "process", run / "train", config)
    if data.events != "impressions":
        raise DataError(
            f"Expected a run that ranks impressions, such as one with `model.kind: nrms`; {run} "
            f"has `model.kind: {config.kind}`."
        )
    impressions: Any = data
    order = ["validation", "test", HIDDEN] if data.has(HIDDEN) else ["validation", "test"]
    wanted = order[-1 if split == "test" else -2]
    if not data.has(wanted):
        raise DataError(
            f"The run at {run} has no {split} impressions. Predict its other part, or process a "
            "source that has them."
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"Predictions should be written into a folder. {out}: {error}. Choose another."
        ) from error
    target = out / SOURCES.get(source).predictions_file
    zipped = target.with_suffix(".zip")
    with replacing(target) as text:
        with text.open("wb") as file:
            for lines in _blocks(slate_scorer(model, impressions), data, wanted):
                lines.write_csv(file, include_header=False, quote_style="never")
        zipped.unlink(missing_ok=True)  # of an earlier call: the two belong together
    with (
        replacing(zipped) as partial,
        zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        archive.write(target, target.name)
    logger.info("%d impressions of the %s part ranked", data.rows(wanted), split)
    return zipped


def _sections_of(run: Path) -> tuple[str, ModelConfig]:
    """Return the kind of the source, and the model's section, of a run's recipe."""
    bundle = run / "bundle"
    if not (bundle / MANIFEST).is_file():
        raise DataError(
            f"No finished run at {run}. Expected a folder such as runs/<recipe>/latest, which is "
            "there after `towermill run`."
        )
    recipe = parse_manifest(bundle).recipe
    model = MODELS.get(recipe["model"]["kind"]).model_validate(recipe["model"])
    return recipe["source"]["kind"], model


def _blocks(score: SlateScorer, data: Any, split: str) -> Iterator[pl.DataFrame]:
    rows = data.rows(split)
    with progress() as bars:
        bar = bars.add_task("ranking", total=rows)
        for start in range(0, rows, _BLOCK):
            slates = data.slates(split, start, _BLOCK)
            ranks = ranks_within(slates, score(slates), start)
            lists = (
                pl.DataFrame({"row": slates.rows, "rank": ranks})
                .group_by("row", maintain_order=True)
                .agg(pl.col("rank"))
            )
            ids = pl.DataFrame({"id": slates.impression_ids}).with_row_index("row")
            table = ids.cast({"row": pl.Int64}).join(
                lists, on="row", how="left", maintain_order="left"
            )
            text = pl.col("rank").cast(pl.List(pl.String)).list.join(",").fill_null("")
            yield table.select(pl.format("{} [{}]", pl.col("id"), text))
            bars.advance(bar, len(slates))


def ranks_within(slates: Slates, scores: np.ndarray, first_row: int = 0) -> np.ndarray:
    """Return each entry's rank in its impression, from 1, int64 ``(entries,)``."""
    rows = slates.rows
    order = np.lexsort((chance_of_entries(slates.offsets, 0, first_row), -scores, rows))
    ranks = np.empty(len(rows), np.int64)
    ranks[order] = np.arange(len(rows)) - slates.offsets[rows] + 1
    return ranks
