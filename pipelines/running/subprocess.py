"""Run a stage in a child process, which frees its memory and ends with its parent.

``main`` is the child's entry point. It reads the order from a file. Standard input stays open and
silent: when it closes, the parent has ended, and the child ends at once.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess  # nosec B404
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from towermill import errors
from towermill.errors import StageError, TowermillError
from towermill.pipelines.recipe.load import validate_recipe
from towermill.pipelines.recipe.recipe import Recipe
from towermill.pipelines.running.plan import Step
from towermill.pipelines.stages.stages import STAGES
from towermill.registry import reference
from towermill.runtime.device import Runtime, quiet_tensorflow, resolve

logger = logging.getLogger(__name__)

# -P: a folder `towermill` where it is started is not the package.
_COMMAND: Final = ("-P", "-c", "from towermill.pipelines.running.subprocess import main; main()")
#: A function by name, and its second argument, after the stage.
Around = tuple[str, Mapping[str, Any]]
#: What ends the message of an error of a stage that ran elsewhere.
RESUME: Final = "Finished stages are kept. To resume, repeat the call."


def run_in_child(
    step: Step,
    recipe: Recipe,
    runtime: Runtime,
    *,
    wait: bool = False,
    folder: Path | None = None,
    log_level: int | None = None,
    log_format: str = "%(message)s",
    environment: Mapping[str, str] | None = None,
    stop: Callable[[], bool] | None = None,
    around: Around | None = None,
) -> None:
    """Run a stage as `execution.run_step` does, in a process that is started for it.

    Parameters
    ----------
    step, recipe, wait
        As for `run_step`.
    runtime
        With the address of the scheduler as its cluster, or none.
    folder
        Base of the recipe's relative paths; default: this process's working folder.
    log_level, log_format
        Level and format of its log on this process's standard error; default: this process's level.
    environment
        Default: this process's.
    stop
        Called each second; the process is killed once it returns True.
    around
        What the stage is replaced by: a function ``module:Name`` of the stage and of a value that
        JSON takes, and that value.

    Raises
    ------
    TowermillError
        The stage's own error, its type kept, naming the stage; `StageError` if the process was
        killed or stopped, or failed otherwise.
    """
    order = {
        "stage": step.stage.name,
        "step": {
            "key": step.key,
            "folder": str(step.folder.absolute()),
            "inputs": {name: str(path.absolute()) for name, path in step.inputs.items()},
            "ingredients": step.ingredients,
            "runs": step.runs,
            "reason": step.reason,
            "stood": step.stood,
        },
        "recipe": recipe.model_dump(mode="json"),
        "runtime": asdict(runtime),
        "wait": wait,
        "around": around,
        "log_level": log_level or logging.getLogger("towermill").getEffectiveLevel(),
        "log_format": log_format,
    }
    with tempfile.TemporaryDirectory(prefix="towermill-stage-") as scratch:
        told, answer = Path(scratch) / "order.json", Path(scratch) / "answer.json"
        told.write_text(json.dumps({**order, "answer": str(answer)}, default=str))
        with subprocess.Popen(  # nosec B603
            [sys.executable, *_COMMAND, str(told)],
            stdin=subprocess.PIPE,
            cwd=folder,
            env=environment,
        ) as process:
            try:
                code = _wait(process, stop)
            finally:
                process.kill()  # does nothing to one that has ended
        if code:
            raise _failure(step.stage.name, code, answer)


def _wait(process: subprocess.Popen[bytes], stop: Callable[[], bool] | None) -> int:
    while True:
        try:
            return process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            if stop is not None and stop():
                process.kill()
                return process.wait()


def _failure(stage: str, code: int, answer: Path) -> TowermillError:
    if answer.is_file():
        said = json.loads(answer.read_text())
        kind: type[TowermillError] = getattr(errors, said["type"], StageError)
        message = str(said["message"])
    else:
        kind = StageError
        if code == -signal.SIGKILL:
            message = "its process was killed: it was cancelled, or the machine had no memory left"
        elif code < 0:
            message = f"its process ended by {signal.Signals(-code).name}"
        else:
            message = f"its process ended with code {code}, as the log says"
    return kind(f"Stage {stage}: {message.rstrip('.')}. {RESUME}")


def main() -> None:
    """Run the stage described in a file; exit with 0 once its output is in place."""
    quiet_tensorflow()
    order = json.loads(Path(sys.argv[1]).read_text())
    threading.Thread(target=_end_with_the_other, daemon=True).start()
    logging.basicConfig(level=logging.WARNING, format=order["log_format"], stream=sys.stderr)
    logging.getLogger("towermill").setLevel(order["log_level"])
    try:
        _work(order)
    except KeyboardInterrupt:
        sys.exit(130)
    except TowermillError as error:
        _say(order, type(error).__name__, str(error))
        sys.exit(2)
    except Exception as error:
        logger.exception("%s failed", order["stage"])
        _say(
            order,
            StageError.__name__,
            f"{type(error).__name__}: {error}".rstrip(".") + " (see the log)",
        )
        sys.exit(1)


def _work(order: Mapping[str, Any]) -> None:
    from towermill.pipelines.running.execute import run_step
    from towermill.runtime.cluster import cluster_client, cluster_failures

    stage = next(stage for stage in STAGES if stage.name == order["stage"])
    if order["around"]:
        name, value = order["around"]
        stage = reference(name).load()(stage, value)
    told = order["step"]
    inputs = {name: Path(path) for name, path in told["inputs"].items()}
    step = Step(stage=stage, **{**told, "folder": Path(told["folder"]), "inputs": inputs})
    recipe = validate_recipe(order["recipe"])
    asked = order["runtime"]
    runtime = resolve(asked["device"], asked["cluster"] if stage.spreads else "none", asked["seed"])
    with cluster_client(runtime) as client:
        failures = contextlib.nullcontext() if client is None else cluster_failures()
        with failures:
            run_step(step, recipe, runtime, wait=order["wait"])


def _say(order: Mapping[str, Any], kind: str, message: str) -> None:
    Path(order["answer"]).write_text(json.dumps({"type": kind, "message": message}))


def _end_with_the_other() -> None:
    # Not through sys.stdin, whose lock this thread would hold when the interpreter ends.
    os.read(0, 1)
    os._exit(1)
