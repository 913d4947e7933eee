"""What a process runs, so that the processes of a cluster can be compared with this one."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from towermill import __version__

#: Name to the distributions that bring it. Objects of these packages travel between processes.
_PACKAGES: dict[str, tuple[str, ...]] = {
    "nvtabular": ("nvtabular",),
    "merlin-core": ("merlin-core",),
    "merlin-dataloader": ("merlin-dataloader",),
    "merlin-models": ("merlin-models",),
    "dask": ("dask",),
    "distributed": ("distributed",),
    "numpy": ("numpy",),
    "pandas": ("pandas",),
    "pyarrow": ("pyarrow",),
    "polars": ("polars",),
    "tensorflow": ("tensorflow-cpu", "tensorflow"),
    "cudf": ("cudf-cu12",),
}
#: A client without a GPU need not have them.
_OPTIONAL = ("cudf",)
_ROOMS = ("workflows", "models", "pipelines")
_ABSENT = "-"
_SHOWN = 3


@cache
def versions() -> dict[str, str]:
    """Return name to version of all that has to be the same in each process of a cluster.

    Kept from the first call on: a worker that was started before the code on its disk changed goes
    on with what it has loaded.
    """
    found = {
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "towermill": f"{__version__} (code {_code()})",
    }
    return found | {name: _installed(names) for name, names in _PACKAGES.items()}


def differences(here: Mapping[str, str], there: Mapping[str, Mapping[str, str]]) -> str:
    """Return a table of what differs, a line a package and version; empty if nothing does.

    Parameters
    ----------
    here
        `versions` of this process.
    there
        The same of others, by address.
    """
    at: dict[tuple[str, str, str], list[str]] = {}
    for address, theirs in there.items():
        for name, ours in here.items():
            other = theirs.get(name, _ABSENT)
            if other != ours and not (name in _OPTIONAL and _ABSENT in (ours, other)):
                at.setdefault((name, ours, other), []).append(address)
    if not at:
        return ""
    rows = [("package", "here", "there", "at")]
    rows += [(*differing, _some(addresses)) for differing, addresses in at.items()]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(
        "  " + "  ".join([*map(str.ljust, row[:3], widths), row[3]]).rstrip() for row in rows
    )


def _some(addresses: list[str]) -> str:
    more = len(addresses) - _SHOWN
    return ", ".join(addresses[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _installed(names: tuple[str, ...]) -> str:
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return _ABSENT


def _code() -> str:
    """Return a digest of Towermill's source, the same for a wheel and for an editable install."""
    folders = {"": _folder("towermill"), **{f"{r}/": _folder(f"towermill.{r}") for r in _ROOMS}}
    files = {
        f"{prefix}{path.relative_to(folder)}": path
        for prefix, folder in folders.items()
        for path in folder.rglob("*.py")
    }
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode() + files[name].read_bytes())
    return digest.hexdigest()[:8]


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    return Path(spec.origin).parent
