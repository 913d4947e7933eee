"""Run one stage under its lock, and write its folder atomically."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from towermill import __version__
from towermill.errors import SetupError, StageError, TowermillError
from towermill.files import replacing, replacing_folder, take_place
from towermill.pipelines.recipe.recipe import Recipe
from towermill.pipelines.running.plan import FORCED, Step
from towermill.pipelines.stages.base import Declared
from towermill.pipelines.stages.keys import key_of
from towermill.pipelines.stages.output import MANIFEST, StageManifest, read_manifest, sizes
from towermill.runtime.code import changed_since, code_of
from towermill.runtime.device import Runtime
from towermill.runtime.gpu import claim
from towermill.runtime.memory import peak_memory, reset_peak_memory

logger = logging.getLogger(__name__)

#: In an unfinished folder: when its inputs were made. Work begun on other inputs is not resumed.
_MADE_FROM = "made_from.json"


def run_step(step: Step, recipe: Recipe, runtime: Runtime, *, wait: bool = False) -> None:
    """Run a stage in this process and put its output in place.

    Parameters
    ----------
    step, recipe
        As planned.
    runtime
        Where it computes.
    wait
        If another process runs this very stage, wait for it.

    Raises
    ------
    TowermillError
        Errors of the stage; or another process runs it, without `wait`.
    """
    partial, folder = step.partial, step.folder
    partial.parent.mkdir(parents=True, exist_ok=True)
    with locked(partial.parents[1], f"{step.stage.name}-{step.key}", wait):
        made_from = {name: _finished(folder) for name, folder in step.inputs.items()}
        standing = read_manifest(folder)
        # Made by another process that ran the same, or by this step on a worker that then died.
        if (
            standing is not None
            and standing.finished != step.stood
            and standing.made_from == made_from
        ):
            logger.info("%s: another process has finished it", step.stage.name)
            return
        begun = partial / _MADE_FROM
        same = begun.is_file() and json.loads(begun.read_text()) == made_from
        if not (step.stage.resumes and step.reason != FORCED and same):
            shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(exist_ok=True)
        begun.write_text(json.dumps(made_from))
        logger.info("%s: running (%s)", step.stage.name, step.reason)
        started = time.monotonic()
        reset_peak_memory()
        use = step.stage.gpu(recipe)
        if runtime.device == "gpu" and use is not None:
            claim(use, recipe.runtime.memory(runtime))
        declared = Declared(recipe, step.stage.sections, step.stage.name)
        _require_planned_code(step, recipe)
        step.stage.run(declared, step.inputs, partial, runtime)
        _require_planned_code(step, recipe)
        seconds = time.monotonic() - started
        begun.unlink()
        manifest = StageManifest(
            stage=step.stage.name,
            key=step.key,
            finished=datetime.now(UTC).isoformat(),
            seconds=round(seconds, 3),
            towermill=__version__,
            device=runtime.device,
            made_from=made_from,
            inputs={name: str(path.absolute()) for name, path in step.inputs.items()},
            files=sizes(partial),
            ingredients=step.ingredients,
            reason=step.reason,
            peak_memory=peak_memory(),
        )
        (partial / MANIFEST).write_text(manifest.model_dump_json(indent=2))
        take_place(partial, folder)
    logger.info("%s: done in %.1f s", step.stage.name, seconds)


def _require_planned_code(step: Step, recipe: Recipe) -> None:
    """Raise `StageError` if the code is no longer that of the stage's key."""
    code = code_of(*step.stage.roots(recipe))
    changed = changed_since(code)
    if changed or code.version != step.ingredients["code"]:
        raise StageError(
            f"The code of stage {step.stage.name!r} changed after the run was planned"
            f"{f' ({changed[0]})' if changed else ''}: its output would be kept under the key of "
            "other code. Give the command again."
        )


def require_folder(root: Path) -> None:
    """Make the folder of a recipe's runs; raise `SetupError` if it cannot be written to."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        writable = os.access(root, os.W_OK | os.X_OK)
        problem = "" if writable else "it cannot be written to"
    except OSError as error:
        problem = str(error)
    if problem:
        raise SetupError(
            f"Runs should be kept in a folder that can be written. {root}: {problem}. Choose "
            "another with --out."
        )


def link_latest(root: Path, steps: Sequence[Step]) -> Path | None:
    """Point ``latest`` at these stages' folders, by one rename, and return where they are linked.

    None, and nothing is linked, unless all of them are whole.
    """
    if not all((step.folder / MANIFEST).is_file() for step in steps):
        return None
    with locked(root, "latest", wait=True):
        name = key_of({step.stage.name: step.key for step in steps})
        target = root / "by-run" / name
        if not target.is_dir():
            with replacing_folder(target) as links:
                for step in steps:
                    own = Path("../..") / step.stage.name / step.key
                    (links / step.stage.name).symlink_to(own)
                (links / "bundle").symlink_to("export/bundle")
        with replacing(root / "latest") as link:
            link.unlink(missing_ok=True)
            link.symlink_to(Path("by-run") / name)
    return target


def _finished(folder: Path) -> str:
    manifest = read_manifest(folder)
    if manifest is None:
        raise TowermillError(
            f"Expected a finished stage in {folder}; its {MANIFEST} is gone. Run the same again."
        )
    return manifest.finished


@contextlib.contextmanager
def in_use(root: Path) -> Iterator[None]:
    """Mark the runs in `root` as in use by this process, so that none of them is cleaned."""
    folder = root / ".locks"
    folder.mkdir(exist_ok=True)
    with (folder / "run").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


@contextlib.contextmanager
def locked(root: Path, name: str, wait: bool) -> Iterator[None]:
    """Hold a lock in `root`; the system lets go of it when the process ends, however it ends.

    Raises
    ------
    TowermillError
        Another process holds it, and `wait` is false.
    """
    folder = root / ".locks"
    folder.mkdir(exist_ok=True)
    with (folder / name).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if not wait:
                raise TowermillError(
                    f"Another process is running this very stage ({name}). Wait for it, or give "
                    "this run another folder with --out."
                ) from None
            fcntl.flock(file, fcntl.LOCK_EX)
        # The file stays: one that is unlinked could be locked by two processes at a time.
        yield
