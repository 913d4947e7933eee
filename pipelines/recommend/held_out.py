"""Rank the held-out queries of a run, by the recipe's `evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from towermill.errors import DataError
from towermill.models.build import load_model
from towermill.models.configs import MODELS
from towermill.models.data.interactions import Processed
from towermill.models.data.lists import TopK
from towermill.models.data.queries import Queries
from towermill.models.data.targets import answers_of
from towermill.models.evaluation.catalogue import ranked
from towermill.models.evaluation.protocol import Model
from towermill.pipelines.bundle.manifest import MANIFEST, parse_manifest
from towermill.pipelines.recipe.sections import EvaluateConfig

#: Splits that can be ranked.
HELD_OUT = ("validation", "test")


@dataclass(frozen=True)
class HeldOut:
    """The held-out queries of a run, and the model's best items for each.

    Attributes
    ----------
    data, queries
        What the stage `evaluate` ranks.
    top
        The best items, by position in the ranked catalogue.
    """

    data: Processed
    queries: Queries
    top: TopK


class FinishedRun:
    """A finished run of interactions, whose model ranks held-out queries.

    Parameters
    ----------
    path
        ``runs/<recipe>/latest``, or another finished run.

    Raises
    ------
    DataError
        It is not finished, or of impressions.
    """

    def __init__(self, path: Path) -> None:
        recipe = _recipe_of(path)
        self.path, self.seed = path, int(recipe["runtime"]["seed"])
        self.told = EvaluateConfig.model_validate(recipe["evaluate"])
        config = MODELS.get(recipe["model"]["kind"]).model_validate(recipe["model"])
        data, self.model = load_model(path / "process", path / "train", config)
        if data.events != "interactions":
            raise DataError(
                f"Expected a run that ranks the catalogue; {path} ranks impressions. For the lists "
                "of these: `towermill predict`."
            )
        self.data = answers_of(data, self.model.targets)

    def rank(self, split: str, k: int) -> HeldOut:
        """Return the best `k` items of each held-out query.

        Raises
        ------
        DataError
            `split` has nothing to rank.
        """
        queries = self._queries(split)
        model: Model = self.model
        scores = model.scores(queries.features, self.data.catalogue)
        return HeldOut(self.data, queries, ranked(scores, self.data, queries, k))

    def has(self, split: str) -> bool:
        """Return whether a split has something to rank."""
        return self.data.has(split) and bool(len(self._of(split)))

    def _queries(self, split: str) -> Queries:
        if not self.has(split):
            raise DataError(
                f"The split {split!r} should hold rows to rank; it holds none. Change `split` in "
                "the recipe and run it again, or choose the other split."
            )
        return self._of(split)

    def _of(self, split: str) -> Queries:
        return self.data.queries(
            "validation" if split == "validation" else "test",
            self.told.query,
            self.told.filter_seen,
            limit=self.told.max_queries,
        )


def check_split(split: str) -> None:
    """Raise `DataError` if lists of a split cannot be written."""
    if split not in HELD_OUT:
        raise DataError(f"`split` should be {' or '.join(HELD_OUT)}. Received: {split!r}.")


def _recipe_of(run: Path) -> dict[str, Any]:
    bundle = run / "bundle"
    if not (bundle / MANIFEST).is_file():
        hint = f" Did you mean {run / 'latest'}?" if (run / "latest").is_dir() else ""
        raise DataError(
            f"No finished run at {run}. Expected a folder such as runs/<recipe>/latest, which is "
            f"there after `towermill run`.{hint}"
        )
    return dict(parse_manifest(bundle).recipe)
