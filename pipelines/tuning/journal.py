"""Store a study in Optuna's journal, a file that processes of several machines append to."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from towermill.errors import DataError, SetupError
from towermill.extras import install_command

if TYPE_CHECKING:
    from optuna.study import Study

    from towermill.pipelines.recipe.tune import PrunerConfig

_NAME = "study"
_JOURNAL = "journal.log"


def require_optuna() -> None:
    """Raise `SetupError` if Optuna is not installed."""
    if importlib.util.find_spec("optuna") is None:
        raise SetupError(
            f"Tuning needs Optuna, which is not installed. Install it: {install_command('tune')}"
        )


def open_study(folder: Path, pruner: PrunerConfig, epochs: int) -> tuple[Study, Any]:
    """Open the study in `folder`, or begin one, and return it with its storage.

    Parameters
    ----------
    folder
        On storage that all processes see.
    pruner
        What ends trials early.
    epochs
        The most that a trial has.

    Raises
    ------
    DataError
        The journal is damaged.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _JOURNAL
    lock: Any = _Flock(path)  # by its shape: the library's base class is private
    _drop_torn_line(path, lock)
    try:
        storage = JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
        study = optuna.create_study(
            storage=storage,
            study_name=_NAME,
            direction="maximize",
            load_if_exists=True,
            pruner=_pruner(pruner, epochs),
        )
    except (ValueError, KeyError) as error:  # of JSON, and of operations that make no sense
        raise DataError(
            f"Expected the journal of a study in {path}; it is damaged ({error}). Delete it to "
            "begin again: finished trainings are reused."
        ) from error
    return study, storage


class _Flock:
    """Optuna's lock of the journal, by the system: a process that is killed lets go of it at once.

    Optuna's own are files, which a killed process leaves behind and others take away after 30 s,
    even from one that is alive and slow.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f"{path.name}.lock")
        self._file: IO[str] | None = None

    def acquire(self) -> bool:
        """Wait for the lock."""
        file = self._path.open("w")
        fcntl.flock(file, fcntl.LOCK_EX)
        self._file = file
        return True

    def release(self) -> None:
        """Let go of it."""
        if self._file is not None:
            self._file.close()


def _drop_torn_line(path: Path, lock: Any) -> None:
    """Cut off a line that a killed process left unfinished."""
    with contextlib.suppress(FileNotFoundError):
        lock.acquire()
        try:
            with path.open("r+b") as file:
                content = file.read()
                if content and not content.endswith(b"\n"):
                    file.truncate(content.rfind(b"\n") + 1)
        finally:
            lock.release()


def _pruner(config: PrunerConfig, epochs: int) -> Any:
    from optuna import pruners

    if config.kind == "median":
        return pruners.MedianPruner(config.startup_trials, config.warmup_epochs)
    if config.kind == "hyperband":
        most = max(epochs, config.warmup_epochs)
        return pruners.HyperbandPruner(min_resource=config.warmup_epochs, max_resource=most)
    return pruners.NopPruner()
