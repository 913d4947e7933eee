"""A stage's process whose stages do nothing but note that they ran, in ``$STAND_INS``.

A file there says what else a stage does: ``fail-train``, ``crash-train``, ``kill-train`` or
``hang-train``.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from towermill.errors import DataError
from towermill.pipelines.running import subprocess as child
from towermill.pipelines.stages.stages import STAGES


def stand_in(name: str) -> Callable[..., None]:
    def stage(recipe: Any, inputs: Any, out: Path, runtime: Any) -> None:
        notes = Path(os.environ["STAND_INS"])
        with (notes / "ran").open("a") as file:
            file.write(
                f"{out.parents[1].name} {name} {time.time()} {os.getpid()} {runtime.device}\n"
            )
        if (notes / f"fail-{name}").exists():
            raise DataError("The raw data should be better.")
        if (notes / f"crash-{name}").exists():
            raise ZeroDivisionError("on purpose")
        if (notes / f"kill-{name}").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        if (notes / f"hang-{name}").exists():
            time.sleep(100)
        (out / "output").write_text(name)
        if name == "export":
            (out / "bundle").mkdir()

    return stage


if __name__ == "__main__":
    child.STAGES = tuple(
        replace(stage, run=stand_in(stage.name), spreads=False) for stage in STAGES
    )
    child.main()
