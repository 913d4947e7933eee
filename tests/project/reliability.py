"""Write docs/reliability.md from the catalogue of inputs and what ``make test-faults`` found."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from collections import defaultdict
from importlib import import_module
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "reliability.md"
THEMES = {
    "csv_shapes": "CSV and TSV: lines, fields, quotes, encodings",
    "csv_values": "CSV and TSV: ids, times, numbers",
    "files": "Files, folders and globs",
    "parquet": "Parquet",
    "tables": "Items beside the interactions",
}
_BEGIN, _END = "<!-- faults -->", "<!-- end of faults -->"

HEAD = f"""# Reliability

What happens when a process dies, the disk is full, or the data is odd. Both tables come from tests
that run on every change (of the faults, a sample).

## Faults

```
make test-faults
```

Each command is run again and again. In each run one change of a file (opening it to write,
renaming, removing) is chosen, evenly over the command. There the process is killed (SIGKILL), or
the change is refused (no space left on device). A point passes if

- all that has its final name is right,
- a refusal ends with one message and exit code 2,
- the same command, repeated, gives exactly what an undisturbed one does.

{_BEGIN}
{{faults}}
{_END}

Dying Dask workers are in `tests/pipelines/running/test_on_cluster.py`, bundles swapped under load
in `tests/pipelines/server/test_reload_under_load.py`.

## Inputs

{{total}} situations, many from public bug reports. Each is read right, or refused by `prepare` with
a message that says what was expected, what was found and what to do. The files and the right
answers: [tests/inputs](../tests/inputs).
"""


def inputs() -> tuple[int, str]:
    """Return the number of inputs, and a table of each theme."""
    sys.path.insert(0, str(TESTS / "inputs"))
    total, parts = 0, []
    for module, title in THEMES.items():
        cases = import_module(module).CASES
        total += len(cases)
        rows = [f"| {_cell(case.name)} | {_outcome(case)} |" for case in cases]
        parts += [f"\n### {title}\n\n| input | |\n|---|---|", *rows]
    return total, "\n".join(parts) + "\n"


def _outcome(case: object) -> str:
    return "read" if getattr(case, "refused", None) is None else "refused"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def faults(results: Path) -> str:
    """Return the table of faults from pytest's JUnit XML."""
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for case in ET.parse(results).iter("testcase"):
        name = str(case.get("name"))
        if not name.startswith("test_lost_nothing["):
            continue
        scenario, fault, _ = name.removeprefix("test_lost_nothing[").rstrip("]").rsplit("-", 2)
        count = counts[scenario, fault]
        count[0] += 1
        count[1] += case.find("failure") is None and case.find("error") is None
    rows = [
        f"| {scenario} | {'killed' if fault == 'kill' else 'refused'} | {points} | {passed} |"
        for (scenario, fault), (points, passed) in sorted(counts.items())
    ]
    points, passed = (sum(count[i] for count in counts.values()) for i in (0, 1))
    head = ["| command | | points | passed |", "|---|---|---|---|"]
    return "\n".join([*head, *rows, f"| all | | {points} | {passed} |"])


def page(found: str) -> str:
    """Return the whole page, with this table of faults."""
    total, table = inputs()
    return HEAD.format(faults=found, total=total) + table


def known_faults() -> str:
    """Return the table of faults that the page has now."""
    text = PAGE.read_text() if PAGE.is_file() else ""
    return text.partition(_BEGIN)[2].partition(_END)[0].strip()


if __name__ == "__main__":
    PAGE.write_text(page(faults(Path(sys.argv[1])) if len(sys.argv) > 1 else known_faults()))
