"""Checkpoints to resume a killed training from, written atomically."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import tensorflow as tf

from towermill.errors import DataError
from towermill.files import replacing_folder


@dataclass
class TrainState:
    """The progress of a training.

    Attributes
    ----------
    epoch, step
        Whole epochs done, and steps done in the one begun.
    loss_sum
        Sum of the loss over those steps.
    best, best_epoch
        The best `monitor` so far, and when.
    reductions
        How often a plateau has lowered the learning rate.
    history
        One record an epoch.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    best: float | None = None
    best_epoch: int = 0
    reductions: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)


class Checkpoints:
    """The newest state of training under `folder`.

    Parameters
    ----------
    folder
        Created where it is missing.
    objects
        The objects to save: the model (with its samplers' counters), the optimizer, and dropout's
        generators.
    """

    def __init__(self, folder: Path, **objects: Any) -> None:
        self.folder = folder
        self._checkpoint = tf.train.Checkpoint(**objects)

    def save(self, state: TrainState) -> None:
        """Write beside the last checkpoint, then take its place by one rename."""
        name = f"{state.epoch:05d}-{state.step:08d}"
        with replacing_folder(self.folder / name) as partial:
            self._checkpoint.write(str(partial / "weights"))
            (partial / "state.json").write_text(json.dumps(asdict(state)))
        for older in self.folder.iterdir():
            if older.name != name:
                shutil.rmtree(older, ignore_errors=True)

    def restore(self) -> TrainState | None:
        """Restore the newest whole checkpoint; None where there is none.

        Raises
        ------
        DataError
            It is damaged, or of another model or optimizer.
        """
        whole = sorted(p for p in self.folder.glob("[0-9]*") if not p.suffix)
        if not whole:
            return None
        newest = whole[-1]
        try:
            self._checkpoint.read(str(newest / "weights")).assert_existing_objects_matched()
            return TrainState(**json.loads((newest / "state.json").read_text()))
        except (
            tf.errors.OpError,
            AssertionError,
            LookupError,
            ValueError,
            TypeError,
            OSError,
        ) as error:
            raise DataError(
                f"Expected a checkpoint of this training in {newest}; it is damaged or of another "
                f"model or optimizer ({type(error).__name__}). Delete {self.folder} to train from "
                "the beginning."
            ) from error
