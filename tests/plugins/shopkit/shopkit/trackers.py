"""A tracker: Weights & Biases."""

from __future__ import annotations

from typing import ClassVar

from towermill.errors import SetupError
from towermill.pipelines.running.finished.run_files import RunFiles
from towermill.pipelines.running.tracking.base import Tracker, epoch_metrics, final_metrics


class WandbTracker(Tracker):
    """Records runs in the project of Weights & Biases that `--track wandb:PROJECT` names."""

    kind: ClassVar[str] = "wandb"

    def __init__(self, target: str) -> None:
        try:
            import wandb
        except ImportError as error:
            raise SetupError("Install Weights & Biases: pip install wandb") from error
        self.wandb, self.project = wandb, target or "towermill"

    def track(self, run: RunFiles) -> str:
        """Record a run under its key, which makes a second call change nothing."""
        with self.wandb.init(
            project=self.project, id=run.key, resume="allow", name=run.name, config=run.recipe
        ) as there:
            if not there.summary.get("towermill.recorded"):
                for epoch, values in epoch_metrics(run):
                    there.log(values, step=epoch)
                there.summary.update(final_metrics(run))
                artifact = self.wandb.Artifact(f"{run.name}-bundle", type="model")
                artifact.add_dir(str(run.bundle))
                there.log_artifact(artifact)
                there.summary["towermill.recorded"] = True
            return str(there.url)
