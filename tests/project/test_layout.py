"""The layout: small folders, no cycles of imports, and a command line that loads little."""

from __future__ import annotations

import graphlib
import subprocess
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[2]
#: Entries of a folder; what marks it as a package is none.
MOST = 12
MARKERS = {"__init__.py", "py.typed"}


def folders() -> dict[Path, set[str]]:
    """Return the entries of each folder that is under version control, the root aside."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[Path, set[str]] = defaultdict(set)
    for line in listed.stdout.splitlines():
        path = Path(line)
        if not (ROOT / path).is_file():
            continue
        for folder in path.parents[:-1]:
            found[folder].add(path.relative_to(folder).parts[0])
    return found


class TestFolders:
    def test_none_has_more_than_a_dozen_entries(self) -> None:
        sizes = {folder: len(entries - MARKERS) for folder, entries in folders().items()}
        assert len(sizes) > 50
        assert {str(folder): size for folder, size in sizes.items() if size > MOST} == {}


class TestImports:
    def test_no_cycle_between_files(self) -> None:
        graph = grimp.build_graph("towermill", exclude_type_checking_imports=True, cache_dir=None)
        imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
        graphlib.TopologicalSorter(imports).prepare()  # raises CycleError, which names the cycle

    def test_help_loads_nothing_heavy(self, python: Callable[..., object]) -> None:
        python(
            "import sys\n"
            "from towermill.cli.app import main\n"
            "sys.argv = ['towermill', '--help']\n"
            "try:\n"
            "    main()\n"
            "except SystemExit:\n"
            "    pass\n"
            "heavy = {'tensorflow', 'polars', 'pydantic', 'numpy', 'pandas', 'dask', 'nvtabular'}\n"
            "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        )
