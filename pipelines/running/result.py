"""What a run returns to Python: its steps, metrics, bundle and report."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from towermill.errors import DataError
from towermill.pipelines.running.finished.run_files import RunFiles
from towermill.pipelines.running.plan import Step


class Run(list[Step]):
    """The steps of a run, as planned, and what they made.

    Parameters
    ----------
    steps
        Every stage of the recipe, in order.
    name
        The recipe's name.
    folder
        Where the outputs are linked, ``runs/<recipe>/by-run/<key>``; None if not all stages are
        done.

    Examples
    --------
    >>> from towermill.pipelines import load_recipe, run
    >>> changes = ["source.users=60", "source.items=30", "source.interactions=900"]
    >>> recipe = load_recipe("synthetic-retail", [*changes, "model={kind: ease}"])
    >>> done = run(recipe, out="runs")
    >>> done.bundle.is_dir(), done.report.is_file(), 0 < done.metrics["ndcg@10"] < 1
    (True, True, True)
    >>> [step.stage.name for step in done if step.runs]
    ['prepare', 'process', 'train', 'evaluate', 'export']
    >>> run(recipe, out="runs")
    Run of synthetic-retail: ndcg@10 ...
      ran: nothing, every stage was done
      bundle: runs/synthetic-retail/by-run/.../bundle
      report: runs/synthetic-retail/by-run/.../report.html
    """

    def __init__(self, steps: Iterable[Step], name: str, folder: Path | None) -> None:
        super().__init__(steps)
        self.name, self.folder = name, folder

    @property
    def metrics(self) -> dict[str, float]:
        """The model's metrics on the test split; see `files` for those of baselines and slices.

        Raises
        ------
        DataError
            Not all stages are done.
        """
        return dict(self.files.metrics["metrics"])

    @property
    def bundle(self) -> Path:
        """The folder of the bundle, for `Bundle.open`."""
        return self._whole / "bundle"

    @property
    def report(self) -> Path:
        """The report, one HTML page."""
        return self._whole / self.files.report.name

    @cached_property
    def files(self) -> RunFiles:
        """Everything that the run has: manifests, metrics, history, recipe."""
        return RunFiles.of(self._whole)

    @property
    def _whole(self) -> Path:
        if self.folder is None:
            raise DataError(
                f"Expected a whole run of {self.name}; not all of its stages are done. Run it "
                "without a selection of stages."
            )
        return self.folder

    def __repr__(self) -> str:
        ran = ", ".join(step.stage.name for step in self if step.runs)
        lines = [f"Run of {self.name}", f"  ran: {ran or 'nothing, every stage was done'}"]
        if self.folder is not None:
            lines[0] += _quality(self.files)
            lines += [f"  bundle: {self.bundle}", f"  report: {self.report}"]
        return "\n".join(lines)


def _quality(run: RunFiles) -> str:
    """Return the deciding metric of the model and its baselines; empty if it cannot be read."""
    try:
        metric, values = run.deciding, run.metrics["baselines"]
        others = ", ".join(f"{name} {value[metric]:.4f}" for name, value in values.items())
        return f": {metric} {run.value:.4f}{f' ({others})' if others else ''}"
    except (DataError, KeyError):
        return ""
