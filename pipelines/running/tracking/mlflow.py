"""Record runs in MLflow: parameters, metrics, the report, and the bundle as a model."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import yaml

from towermill import __version__
from towermill.errors import SetupError
from towermill.extras import install_command
from towermill.pipelines.running.finished.run_files import RunFiles, dotted
from towermill.pipelines.running.tracking.base import Tracker, epoch_metrics, final_metrics

#: Tag of an MLflow run: the name of the run's folder.
_KEY = "towermill.run"
#: Most parameters of one request, and most characters of a value.
_ENTRIES, _CHARACTERS = 100, 6000
#: The code that serves a bundle, which MLflow stores with it.
_MODEL = Path(__file__).parent / "mlflow_model.py"


class MlflowTracker(Tracker):
    """An experiment for each recipe, and in it an MLflow run for each run.

    Parameters
    ----------
    target
        The tracking URI, such as ``http://localhost:5000`` or ``sqlite:///mlflow.db``. Empty:
        that of the environment's ``MLFLOW_TRACKING_URI``, or MLflow's own default.
    """

    kind: ClassVar[str] = "mlflow"

    def __init__(self, target: str) -> None:
        try:
            import mlflow
        except ImportError as error:
            raise SetupError(
                "`--track mlflow` needs the package mlflow-skinny, which is not installed. "
                f"Install it: {install_command('track')}"
            ) from error
        if mlflow.active_run() is not None:
            raise SetupError(
                "`--track mlflow` starts a run of its own. End the active MLflow run before: "
                "mlflow.end_run()"
            )
        self._mlflow = mlflow
        # MLflow names each table that it creates.
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        self.uri = target or mlflow.get_tracking_uri()
        try:
            with self._at_target(), _environment(MLFLOW_HTTP_REQUEST_MAX_RETRIES="0"):
                mlflow.search_experiments(max_results=1)
        except Exception as error:
            raise SetupError(
                f"Expected an MLflow server or database at {self.uri}. {error} Start it, or give "
                "another: --track mlflow:URI"
            ) from error

    def track(self, run: RunFiles) -> str:
        """Record a run; return its place in MLflow."""
        with self._at_target():
            name = f"towermill/{run.name}"
            known = self._mlflow.get_experiment_by_name(name)
            own = self._mlflow.create_experiment(name) if known is None else known.experiment_id
            condition = f"tags.`{_KEY}` = '{run.key}' and attributes.status = 'FINISHED'"
            found = self._mlflow.search_runs([own], condition, max_results=1, output_format="list")
            number = found[0].info.run_id if found else self._record(run, own)
        return f"run {number} of the experiment {name} at {self.uri}"

    def _record(self, run: RunFiles, experiment: str) -> str:
        mlflow = self._mlflow
        tags = {_KEY: run.key, "towermill.version": __version__}
        name = f"{run.name} {run.key[:6]}"
        with mlflow.start_run(experiment_id=experiment, run_name=name, tags=tags) as started:
            settings = [
                (_plain(name), str(value)[:_CHARACTERS])
                for name, value in dotted(run.recipe)
                if value is not None
            ]
            for start in range(0, len(settings), _ENTRIES):
                mlflow.log_params(dict(settings[start : start + _ENTRIES]))
            for epoch, values in epoch_metrics(run):
                mlflow.log_metrics(_named(values), step=epoch)
            mlflow.log_metrics(_named(final_metrics(run)))
            mlflow.log_text(yaml.safe_dump(run.recipe, sort_keys=False), "recipe.yaml")
            if run.report.is_file():
                mlflow.log_artifact(str(run.report))
            self._log_model(run.bundle)
        return str(started.info.run_id)

    def _log_model(self, bundle: Path) -> None:
        from mlflow.models import ModelSignature
        from mlflow.types import ParamSchema, ParamSpec

        choices = ParamSchema(
            [ParamSpec("k", "long", 10), ParamSpec("filter_seen", "boolean", True)]
        )
        with warnings.catch_warnings(), _environment(MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false"):
            # It wants an example, and a schema of queries, whose columns may be left out.
            warnings.simplefilter("ignore")
            self._mlflow.pyfunc.log_model(
                name="bundle",
                python_model=str(_MODEL),
                artifacts={"bundle": str(bundle.resolve())},
                pip_requirements=[f"towermill=={__version__}"],
                signature=ModelSignature(params=choices),
            )

    @contextmanager
    def _at_target(self) -> Iterator[None]:
        """Set MLflow's tracking URI, which is the process's, and restore it at the end."""
        before = self._mlflow.get_tracking_uri()
        with _environment(MLFLOW_TRACKING_URI=self.uri):  # which MLflow sets with it
            self._mlflow.set_tracking_uri(self.uri)
            try:
                yield
            finally:
                self._mlflow.set_tracking_uri(before)


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Set variables of the environment, from which MLflow takes its options, meanwhile."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _plain(name: str) -> str:
    """Return a name that MLflow takes.

    Examples
    --------
    >>> _plain("ease/ndcg@10"), _plain("features.item.[tags]")
    ('ease/ndcg_at_10', 'features.item._tags_')
    """
    return re.sub(r"[^\w\-. /]", "_", name.replace("@", "_at_"))


def _named(values: dict[str, Any]) -> dict[str, Any]:
    return {_plain(name): value for name, value in values.items()}
