"""One recipe on one device, stage by stage, in a process of its own: ``gpu.py`` starts it.

    python benchmarks/parts/gpu_cases.py RECIPE DEVICE OUT '["train.epochs=2", ...]'

Prints a line of JSON: seconds of each stage; of the training rows a second, the first epoch, which
compiles, left out; and while a GPU is there, its mean utilisation and its most memory in use.
"""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from towermill.pipelines import Selection, load_recipe, run
from towermill.pipelines.stages.stages import STAGE_NAMES
from towermill.runtime.device import quiet_tensorflow
from towermill.runtime.gpu import utilisation

#: Seconds between two looks at the GPU.
_EVERY = 0.2


def main() -> None:
    name, device, out, changes = sys.argv[1:]
    quiet_tensorflow()
    recipe = load_recipe(name, [*json.loads(changes), f"runtime.device={device}"])
    stages: dict[str, dict[str, Any]] = {}
    for stage in STAGE_NAMES:
        with _watched() as seen:
            started = time.perf_counter()
            steps = run(recipe, out, Selection(stage, stage))
            seen["seconds"] = time.perf_counter() - started
        folder = next(step.folder for step in steps if step.stage.name == stage)
        stages[stage] = seen | _told(stage, folder)
    print(json.dumps(stages))  # noqa: T201


def _told(stage: str, folder: Path) -> dict[str, Any]:
    if stage == "train":
        history = json.loads((folder / "history.json").read_text())["history"]
        rates = [record["rows_per_second"] for record in history[1:] or history]
        return {"samples_per_second": statistics.median(rates), "epochs": len(history)}
    if stage == "evaluate":
        found = json.loads((folder / "metrics.json").read_text())
        return {key: found[key] for key in ("protocol", "queries", "metrics") if key in found}
    return {}


@contextmanager
def _watched() -> Iterator[dict[str, Any]]:
    """Look at the GPU all the while."""
    seen: dict[str, Any] = {}
    looks: list[tuple[int, int]] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_EVERY):
            looks.extend(utilisation()[:1])

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        ended.set()
        watcher.join()
        if looks:
            seen["utilisation"] = statistics.mean(share for share, _ in looks)
            seen["gpu_bytes"] = max(used for _, used in looks)


if __name__ == "__main__":
    main()
