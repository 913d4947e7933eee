"""One workload by one engine, in a process of its own: ``etl.py`` starts it.

    python benchmarks/parts/etl_cases.py ENGINE WORKLOAD FILE FOLDER

Prints a line of JSON: seconds of the fit and of transforming and writing (imports left out), the
processor's seconds in both, and the peak of resident memory.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

#: Columns of the impressions that share a vocabulary.
JOINT = ["article_id", "history", "inview"]
#: Columns that pass unchanged.
PASSED = ("click", "impression_id")
#: A step of this, fitting, then writing, is timed.
Steps = Iterator[None]


class Clicked:
    """Row mask for `Filter`."""

    columns = ("click",)

    def __call__(self, frame: Any) -> Any:
        return frame["click"] == 1


def groups(path: Path) -> list[list[str]]:
    """Return the columns of each vocabulary."""
    names = pq.read_schema(path).names
    if set(JOINT) <= set(names):
        return [JOINT]
    return [[name] for name in names if name not in PASSED]


def _graph(workload: str, path: Path, folder: Path) -> Any:
    """Return the same graph of NVTabular's operators for stock and ours."""
    from nvtabular import ops

    columns = [group if len(group) > 1 else group[0] for group in groups(path)]
    passed = [name for name in pq.read_schema(path).names if name in PASSED]
    graph = columns >> ops.Categorify(out_path=str(folder / "vocabularies"), dtype="int32")
    graph += passed
    return graph >> ops.Filter(Clicked()) if workload == "filter" else graph


def ours(workload: str, path: Path, folder: Path) -> Steps:
    """Towermill's operators, as its process stage runs them: on a GPU if there is one."""
    _claim_gpu()
    from towermill.workflows.dataset import open_dataset
    from towermill.workflows.graph.workflow import Workflow
    from towermill.workflows.graph.write import write

    yield
    workflow = Workflow(_graph(workload, path, folder))
    workflow.fit(open_dataset(path))
    yield
    write(workflow, open_dataset(path), folder / "output")
    yield


def stock(workload: str, path: Path, folder: Path) -> Steps:
    """NVTabular's own operators; of Towermill, the patches alone by which they run at all.

    A partition is one row group: in larger ones its pandas frames are slower and take more memory
    (1 M rows: 10.4 s of processor time in four partitions, 16.4 s in two, 15.8 s in one).
    """
    yield from _stock(workload, path, folder, part_size="64MB")


def stock_default(workload: str, path: Path, folder: Path) -> Steps:
    """As `stock`, with the partitions of NVTabular's default: an eighth of the machine's memory."""
    yield from _stock(workload, path, folder, part_size=None)


def _stock(workload: str, path: Path, folder: Path, part_size: str | None) -> Steps:
    _claim_gpu()
    import nvtabular as nvt

    yield
    dataset = nvt.Dataset(str(path), engine="parquet", part_size=part_size)
    workflow = nvt.Workflow(_graph(workload, path, folder))
    workflow.fit(dataset)
    yield
    workflow.transform(dataset).to_parquet(str(folder / "output"))
    yield


def _claim_gpu() -> None:
    """Have cuDF take its pool, if there is a GPU: ``CUDA_VISIBLE_DEVICES=`` hides it."""
    from towermill.runtime.device import resolve
    from towermill.runtime.gpu import claim

    if resolve().device == "gpu":
        claim("features")


def polars(workload: str, path: Path, folder: Path) -> Steps:
    """What one writes by hand: counts to vocabularies, then a left join a column, in memory.

    The fastest of those tried here. Of flat columns: joins a column at a time; one lazy plan of 16
    joins drags all columns through each (3 times the processor's), and `replace_strict` takes a
    little more. Of lists: `replace_strict` within `list.eval`, streamed; joins of the exploded
    values, put back into lists, take a third more.
    """
    import polars as pl

    (folder / "vocabularies").mkdir(parents=True)
    (folder / "output").mkdir()
    ids: dict[str, pl.DataFrame] = {}
    yield
    rows = pl.scan_parquet(path)
    schema = rows.collect_schema()
    for group in groups(path):
        columns = [pl.col(name) for name in group]
        flat = [
            c.explode() if schema[n].is_nested() else c for n, c in zip(group, columns, strict=True)
        ]
        counts = [rows.select(c.alias("value")).group_by("value").len() for c in flat]
        vocabulary = (
            pl.concat(counts)
            .group_by("value")
            .agg(pl.col("len").sum())
            .drop_nulls()
            .sort("len", "value", descending=[True, False])
            .select("value", pl.int_range(3, pl.len() + 3, dtype=pl.Int32).alias("id"))
            .collect()
        )
        vocabulary.write_parquet(folder / "vocabularies" / f"{group[0]}.parquet")
        ids |= dict.fromkeys(group, vocabulary)
    yield
    file = folder / "output" / "part_0.parquet"
    if workload == "lists":
        encoded = []
        for name, table in ids.items():
            nested = schema[name].is_nested()
            value = pl.element() if nested else pl.col(name)
            found = value.replace_strict(
                table["value"], table["id"], default=1, return_dtype=pl.Int32
            )
            encoded.append(pl.col(name).list.eval(found) if nested else found)
        rows.with_columns(encoded).sink_parquet(file, compression="zstd")
    else:
        kept = rows.filter(pl.col("click") == 1) if workload == "filter" else rows
        frame = kept.collect()
        columns = [
            frame.select(pl.col(name).alias("value"))
            .join(table, on="value", how="left", maintain_order="left")
            .select(pl.col("id").fill_null(1).alias(name))
            .to_series()
            for name, table in ids.items()
        ]
        frame.with_columns(columns).write_parquet(file, compression="zstd")
    yield


ENGINES: dict[str, Callable[[str, Path, Path], Steps]] = {
    "ours": ours,
    "stock": stock,
    "stock-default": stock_default,
    "polars": polars,
}


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _peak() -> int:
    """Return the most memory this process had resident, in bytes.

    Not ``ru_maxrss``: Linux has a child begin with what its parent had.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    engine, workload, path, folder = sys.argv[1:]
    steps = ENGINES[engine](workload, Path(path), Path(folder))
    moments = [(time.perf_counter(), _processor()) for _ in steps]
    (start, _), (fitted, _), (end, _) = moments
    print(  # noqa: T201
        json.dumps(
            {
                "fit": fitted - start,
                "write": end - fitted,
                "total": end - start,
                "processor": moments[2][1] - moments[0][1],
                "peak": _peak(),
            }
        )
    )


if __name__ == "__main__":
    main()
