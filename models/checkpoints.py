"""Checkpoints that a killed training goes on from: whole or not there."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import tensorflow as tf


@dataclass
class TrainState:
    """How far a training has come.

    Attributes
    ----------
    epoch, step
        Whole epochs done, and steps done in the one begun.
    loss_sum
        Sum of the loss over those steps.
    best, best_epoch, waited
        The best `monitor` so far, when, and the validations since.
    history
        One record an epoch.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    best: float | None = None
    best_epoch: int = 0
    waited: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)


class Checkpoints:
    """The newest state of training under `folder`.

    Parameters
    ----------
    folder
        Created where it is missing.
    objects
        What is saved: the model (with its samplers' counters and dropout's generators) and the
        optimizer.
    """

    def __init__(self, folder: Path, **objects: Any) -> None:
        self.folder = folder
        self._checkpoint = tf.train.Checkpoint(**objects)

    def save(self, state: TrainState) -> None:
        """Write beside the last checkpoint, then take its place by one rename."""
        name = f"{state.epoch:05d}-{state.step:08d}"
        partial = self.folder / f"{name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        self._checkpoint.write(str(partial / "weights"))
        (partial / "state.json").write_text(json.dumps(asdict(state)))
        final = self.folder / name
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        for older in self.folder.iterdir():
            if older.name != name:
                shutil.rmtree(older, ignore_errors=True)

    def restore(self) -> TrainState | None:
        """Restore the newest whole checkpoint; None where there is none."""
        if not self.folder.is_dir():
            return None
        whole = sorted(p for p in self.folder.iterdir() if p.suffix != ".partial")
        if not whole:
            return None
        self._checkpoint.read(str(whole[-1] / "weights")).assert_existing_objects_matched()
        return TrainState(**json.loads((whole[-1] / "state.json").read_text()))
