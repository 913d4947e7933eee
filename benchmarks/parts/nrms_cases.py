"""One run of `nrms.py`: the plain recipe or ours, timed or evaluated, in a separate process.

    python nrms_cases.py speed|auc plain|ours PROCESSED '{"batch_size": 64, ...}'

Ends with a line of JSON. Both sides read the same arrays: token table, histories, rows with their
negatives, impressions. Titles and histories are padded to their full size for the plain recipe, as
it has them; ours takes them as the package does.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from nrms_plain import PlainNRMS, Sizes

from towermill.models.build import build_model
from towermill.models.configs.news.nrms import NRMSConfig
from towermill.models.configs.train import TrainConfig
from towermill.models.data.impressions import ImpressionData, Slates
from towermill.models.evaluation.scoring import slate_scorer
from towermill.models.metrics.impressions.ranking import impression_metrics
from towermill.models.training.fit import fit
from towermill.runtime.device import seed_everything

NPRATIO = 4
WARM_BATCHES = 2


@dataclass(frozen=True)
class Case:
    """What both sides are given."""

    data: ImpressionData
    sizes: Sizes
    options: dict[str, Any]

    @cached_property
    def config(self) -> NRMSConfig:
        sizes = self.sizes
        return NRMSConfig(
            heads=sizes.heads,
            head_dim=sizes.head_dim,
            attention_dim=sizes.attention_dim,
            dense=sizes.dense,
            dropout=sizes.dropout,
            user_dropout=0.0,  # the plain recipe has none
            npratio=NPRATIO,
            masks=self.options.get("masks", True),
        )

    @cached_property
    def rows(self) -> dict[str, np.ndarray]:
        """The training rows, the same for both sides, all seeds and all batch sizes."""
        drawn = self.config.batches(self.data, batch_size=self.options["rows"], seed=0)
        first = next(drawn.epoch(0))
        return {name: values.numpy() for name, values in first.items()}

    @cached_property
    def slates(self) -> Slates:
        """The impressions to be ranked, likewise."""
        slates = self.data.slates("test")
        return slates.where(slates.rankable).sample(self.options["impressions"])


class FixedBatches:
    """Given rows in an order of seed and epoch; notes the processor seconds of each epoch.

    Epoch 0 is cut to `warm` batches, if given, so that tracing is not timed.
    """

    def __init__(self, rows: dict[str, np.ndarray], batch_size: int, seed: int, warm: int) -> None:
        self.arrays, self.batch_size, self.seed, self.warm = rows, batch_size, seed, warm
        self.processor: list[float] = []

    @property
    def rows(self) -> int:
        return len(self.arrays["history_id"])

    def __len__(self) -> int:
        return -(-self.rows // self.batch_size)

    def first(self) -> dict[str, tf.Tensor]:
        return self._batch(np.arange(2))

    def epoch(self, number: int) -> Iterator[dict[str, tf.Tensor]]:
        order = np.random.default_rng((self.seed, number)).permutation(self.rows)
        batches = self.warm if self.warm and number == 0 else len(self)
        start = time.process_time()
        for batch in range(batches):
            own = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            if len(own):
                yield self._batch(own)
        self.processor.append(time.process_time() - start)

    def _batch(self, rows: np.ndarray) -> dict[str, tf.Tensor]:
        return {name: tf.constant(values[rows]) for name, values in self.arrays.items()}


class Plain:
    """The plain recipe on the package's processed data."""

    def __init__(self, case: Case) -> None:
        data, sizes = case.data, case.sizes
        self.case, self.batch_size = case, case.options["batch_size"]
        words = data.folder.words
        self.model = PlainNRMS(
            _widened(data.tokens, sizes.title_size),
            data.text_stats.tokens,
            sizes,
            np.load(words) if words.is_file() else None,  # else uniform, as ours
            case.options["seed"],
        )
        self.histories = _widened(data.histories, sizes.history_size)

    def train(self, epochs: int, warm: int) -> list[tuple[float, float]]:
        """Return wall and processor seconds of each epoch, the warm-up not among them."""
        rows, taken = self.case.rows, []
        history, candidates = self.histories[rows["history_id"]], rows["candidates"]
        if warm:
            few = slice(warm * self.batch_size)
            self.model.fit_epoch(history[few], candidates[few], self.batch_size)
        for epoch in range(epochs):
            start, processor = time.perf_counter(), time.process_time()
            seed = self.case.options["seed"] * 1000 + epoch
            self.model.fit_epoch(history, candidates, self.batch_size, seed)
            taken.append((time.perf_counter() - start, time.process_time() - processor))
        return taken

    def score(self, slates: Slates, at_once: int = 1) -> np.ndarray:
        inview = slates.items, slates.offsets
        return self.model.score(self.histories[slates.histories], inview, at_once)


class Ours:
    """The package: what `train_model` does, on given rows."""

    def __init__(self, case: Case) -> None:
        options = case.options
        self.case = case
        tf.keras.backend.experimental.enable_tf_random_generator()
        seed_everything(options["seed"])
        self.retriever = build_model(case.data, case.config, seed=options["seed"])

    def train(self, epochs: int, warm: int) -> list[tuple[float, float]]:
        """Return wall and processor seconds of each epoch, the warm-up not among them."""
        options, extra = self.case.options, 1 if warm else 0
        batches = FixedBatches(self.case.rows, options["batch_size"], options["seed"], warm)
        config = TrainConfig(
            epochs=epochs + extra,
            batch_size=options["batch_size"],
            learning_rate=self.case.sizes.learning_rate,
            tensorboard=False,
        )
        with tempfile.TemporaryDirectory() as folder:
            state = fit(self.retriever, batches, config, Path(folder))
        seconds = [record["seconds"] for record in state.history]
        return list(zip(seconds, batches.processor, strict=True))[extra:]

    def score(self, slates: Slates, at_once: int = 1) -> np.ndarray:  # all at once, anyway
        return slate_scorer(self.retriever, self.case.data)(slates)


SIDES = {"plain": Plain, "ours": Ours}


def speed(side: str, case: Case) -> dict[str, Any]:
    """Time one epoch and one evaluation; tracing and first calls come before."""
    model, slates = SIDES[side](case), case.slates
    ((fit_seconds, fit_processor),) = model.train(1, WARM_BATCHES)
    few = np.zeros(len(slates), bool)
    few[:3] = True
    model.score(slates.where(few))  # traces; of ours, encodes the catalogue a first time as well
    start, processor = time.perf_counter(), time.process_time()
    model.score(slates)
    seconds, own = time.perf_counter() - start, time.process_time() - processor
    rows = len(case.rows["history_id"])
    return {
        "rows": rows,
        "impressions": len(slates),
        "entries": len(slates.items),
        "articles": case.data.items.height,
        "rows_per_second": rows / fit_seconds,
        "rows_per_processor_second": rows / fit_processor,
        "impressions_per_second": len(slates) / seconds,
        "impressions_per_processor_second": len(slates) / own,
        "peak_bytes": _peak(),
    }


def auc(side: str, case: Case) -> dict[str, Any]:
    """Train and rank."""
    model, slates = SIDES[side](case), case.slates
    taken = model.train(case.options["epochs"], 0)
    found = impression_metrics(model.score(slates, 64), slates.clicked, slates.offsets)
    rows, impressions = len(case.rows["history_id"]), len(slates)
    return {"rows": rows, "impressions": impressions, "seconds": sum(t for t, _ in taken), **found}


def _peak() -> int:
    """Return the most memory that this process was resident in, in bytes."""
    status = Path("/proc/self/status")  # `getrusage` counts the process that started this one, too
    if not status.is_file():
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return int(lines["VmHWM"].split()[0]) * 1024


def _widened(matrix: np.ndarray, width: int) -> np.ndarray:
    """Pad with 0, behind, to the width that the recipe was given."""
    return np.pad(matrix, ((0, 0), (0, width - matrix.shape[1])))


def main() -> None:
    what, side, processed, told = sys.argv[1:]
    options = json.loads(told)
    sizes = Sizes(**options.pop("sizes") | {"learning_rate": options.pop("learning_rate")})
    case = Case(ImpressionData(Path(processed)), sizes, options)
    found = {"speed": speed, "auc": auc}[what](side, case)
    devices = [device.device_type for device in tf.config.list_physical_devices()]
    sys.stdout.write(f"\n{json.dumps(found | {'devices': devices})}\n")


if __name__ == "__main__":
    main()
