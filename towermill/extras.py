"""Commands that install Towermill's extras.

pip cannot resolve ``towermill[serve]``: merlin-core wants an older pandas than Towermill runs on.
"""

from __future__ import annotations

import importlib.util
import shlex
import sys
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

_LOCKS = Path(__file__).resolve().parents[1] / "requirements"


def install_command(extra: str) -> str:
    """Return a shell command that installs the packages of an extra into this environment.

    In a checkout they are those of the extra's lock file; elsewhere, those that Towermill's
    metadata names.

    Parameters
    ----------
    extra
        A key of ``project.optional-dependencies`` in ``pyproject.toml``.

    Examples
    --------
    >>> print("$", install_command("serve"))
    $ ... install --no-deps --require-hashes -r ...requirements/serve.txt
    """
    python = _from_here(Path(sys.executable))
    pip = [python, "-m", "pip", "install"]
    if importlib.util.find_spec("pip") is None:
        pip = ["uv", "pip", "install", "--python", python]
    lock = _LOCKS / f"{extra}.txt"
    if lock.is_file():
        return shlex.join([*pip, "--no-deps", "--require-hashes", "-r", _from_here(lock)])
    return shlex.join([*pip, *packages_of(extra)])


def packages_of(extra: str) -> list[str]:
    """Return the requirements of an extra, from the metadata of the installed package.

    Examples
    --------
    >>> packages_of("tune")
    ['optuna<6,>=5']
    """
    try:
        declared = requires("towermill") or []
    except PackageNotFoundError:
        return [f"towermill[{extra}]"]
    parts = [line.partition(";") for line in declared]
    return [name for name, _, marker in parts if marker.strip() == f'extra == "{extra}"']


def _from_here(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
