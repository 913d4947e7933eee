"""What `towermill install` adds to a Python environment, by the lock files that ship with us.

pip alone cannot resolve the packages that training stands on: merlin-core wants an older pandas
than it runs on here. Their lock files, with hashes, are installed without looking at dependencies.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess  # nosec B404
import sys
from collections.abc import Sequence
from pathlib import Path

from towermill.errors import SetupError

_LOCKS = Path(__file__).resolve().parent / "requirements"
#: What is no addition to an environment of a user.
_OTHER = ("dev", "mlflow")


def known() -> dict[str, Path]:
    """Return the lock file of each name that `install` takes.

    Examples
    --------
    >>> list(known())
    ['als', 'cpu', 'demo', 'faiss', 'gpu', 'text', 'track', 'tune', 'xgboost']
    """
    files = [*_LOCKS.glob("*.txt"), *_LOCKS.glob("data/demo.txt")]
    return {path.stem: path for path in sorted(files, key=_stem) if path.stem not in _OTHER}


def _stem(path: Path) -> str:
    return path.stem


def install_command(name: str) -> str:
    """Return the command that a message names for packages that are missing.

    Examples
    --------
    >>> install_command("tune")
    'towermill install tune'
    """
    return f"towermill install {name}"


def require_training() -> None:
    """Raise `SetupError` if the packages that train are not installed.

    Examples
    --------
    >>> require_training()
    """
    for package in ("nvtabular", "merlin.models", "tensorflow"):
        try:
            found = importlib.util.find_spec(package)
        except ModuleNotFoundError:  # its parent is missing
            found = None
        if found is None:
            raise SetupError(missing_for_training(package))


def missing_for_training(package: str) -> str:
    """Return what a message says when `package` cannot be imported.

    Examples
    --------
    >>> missing_for_training("nvtabular")
    'This needs the package nvtabular, ... To train: towermill install cpu (or gpu).'
    """
    return (
        f"This needs the package {package}, which is not installed. "
        f"To train: {install_command('cpu')} (or gpu)."
    )


def installer(names: Sequence[str]) -> list[str]:
    """Return the words of the command that installs the packages of `names` here.

    Raises
    ------
    SetupError
        A name is unknown, both ``cpu`` and ``gpu`` are named, or there is neither pip nor uv.

    Examples
    --------
    >>> installer(["tune"])[-3:]
    ['--require-hashes', '-r', '...tune.txt']
    """
    locks = known()
    unknown = [name for name in names if name not in locks]
    if unknown or not names:
        received = ", ".join(unknown) or "nothing"
        raise SetupError(
            f"`towermill install` should get names among {', '.join(locks)}. Received: {received}."
        )
    if {"cpu", "gpu"} <= set(names):
        raise SetupError("`towermill install` should get cpu or gpu, not both.")
    options = ["--no-deps", "--require-hashes"]
    files = [word for name in names for word in ("-r", str(locks[name]))]
    return [*_pip(), *options, *files]


def install(names: Sequence[str]) -> None:
    """Install the locked packages of `names` into the environment of this process.

    Raises
    ------
    SetupError
        As `installer`; or pip failed.
    """
    done = subprocess.run(installer(names), check=False)  # nosec B603
    if done.returncode:
        raise SetupError(
            f"pip stopped with code {done.returncode}: see its message above. Nothing that was "
            "installed before is lost; the command can be repeated. The packages are for Linux "
            f"on x86-64 and Python 3.11; this is Python {sys.version.split()[0]}."
        )


def _pip() -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install"]
    uv = shutil.which("uv")
    if uv is None:
        raise SetupError(
            "`towermill install` needs pip or uv, and found neither. Install pip: "
            "python -m ensurepip"
        )
    return [uv, "pip", "install", "--python", sys.executable]
