"""The files of a finished run: manifests of its stages, metrics, history and statistics."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from towermill.errors import DataError
from towermill.pipelines.stages.output import StageManifest, read_manifest
from towermill.pipelines.stages.stages import STAGE_NAMES

#: The report's name within a run.
REPORT: Final = "report.html"


@dataclass(frozen=True)
class RunFiles:
    """A finished run, read lazily.

    Attributes
    ----------
    path
        Its folder, ``runs/<recipe>/by-run/<key>``.
    manifests
        Those of its stages, by name and in order.
    """

    path: Path
    manifests: Mapping[str, StageManifest]

    @classmethod
    def of(cls, path: Path) -> RunFiles:
        """Open the run of a path.

        Parameters
        ----------
        path
            ``runs/<recipe>``, whose latest run is meant, ``runs/<recipe>/latest``, another run of
            ``by-run/``, or a bundle or report in one of them.

        Raises
        ------
        DataError
            There is no finished run.
        """
        found = path.parent if path.name in ("bundle", REPORT) else path
        if (found / "latest").is_dir():
            found = found / "latest"
        found = found.resolve()
        manifests = {name: read_manifest(found / name) for name in STAGE_NAMES}
        missing = [name for name, manifest in manifests.items() if manifest is None]
        if missing:
            raise DataError(
                f"Expected a finished run at {path}, such as runs/<recipe>/latest. It has no "
                f"{', '.join(missing)}. `towermill runs` lists the finished runs."
            )
        return cls(found, {name: one for name, one in manifests.items() if one is not None})

    @property
    def key(self) -> str:
        """The name of its folder, which identifies the run."""
        return self.path.name

    @property
    def finished(self) -> str:
        """When its last stage was finished, as ISO 8601 in UTC."""
        return max(manifest.finished for manifest in self.manifests.values())

    @property
    def seconds(self) -> float:
        """How long its stages took, together."""
        return sum(manifest.seconds for manifest in self.manifests.values())

    @property
    def bundle(self) -> Path:
        """The folder of its bundle."""
        return self.path / "export" / "bundle"

    @property
    def report(self) -> Path:
        """Where its report is."""
        return self.path / REPORT

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """The sections of its recipe, defaults included."""
        sections: dict[str, Any] = {}
        for manifest in self.manifests.values():
            settings = manifest.ingredients["settings"]
            sections |= {name: value for name, value in settings.items() if "." not in name}
        return sections

    @property
    def name(self) -> str:
        """The name of its recipe."""
        return str(self.recipe["name"])

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The content of ``metrics.json``."""
        return self._json("evaluate/metrics.json")

    @property
    def deciding(self) -> str:
        """The metric by which models are compared."""
        return str(self.metrics["compared"]["metric"])

    @property
    def value(self) -> float:
        """The model's value of the deciding metric."""
        return float(self.metrics["metrics"][self.deciding])

    @property
    def queries(self) -> Path:
        """The Parquet file with the metrics of each test query."""
        return self.path / "evaluate" / "queries.parquet"

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        """The epochs of its training; empty for a model that is solved, not trained."""
        return list(self._json("train/history.json")["history"])

    def _json(self, name: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.path / name).read_text())
        except (OSError, ValueError) as error:
            raise DataError(
                f"Expected {name} in the run {self.path}. {error}. Run its recipe again."
            ) from error
        return found


def dotted(value: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested settings by dotted names, as `--set` takes them.

    Examples
    --------
    >>> dict(dotted({"name": "shop", "model": {"parts": [{"kind": "ease"}]}}))
    {'name': 'shop', 'model.parts.0.kind': 'ease'}
    """
    for name, inner in value.items():
        if isinstance(inner, list) and inner and isinstance(inner[0], Mapping):  # such as parts
            inner = {str(nth): part for nth, part in enumerate(inner)}
        if isinstance(inner, Mapping) and inner:
            yield from dotted(inner, f"{within}{name}.")
        else:
            yield f"{within}{name}", inner
