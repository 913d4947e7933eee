"""Check an engine's output against the raw data; ``etl.py`` starts it.

    python benchmarks/parts/etl_agree.py WORKLOAD FILE FOLDER [REFERENCE]

Checks of every column: the rows are the raw data's, in its order; an id encodes one value; a
null is 1; no row is unknown or padding; and the id's rank has the exact frequency of its value. So
two engines that both pass give the same ids except for ties in frequency. With the folder of a
reference, the share of values with the same id is reported too.

Prints a line of JSON: ``{"errors": […], "rows": …, "same": …}``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import polars as pl
from etl_cases import PASSED, groups

#: The ids before those of the values: padding, null, unknown.
_FIRST = 3


def check(workload: str, path: Path, folder: Path, reference: Path | None) -> dict:
    """Return what is wrong with the files in `folder`, their rows, and the share of same ids."""
    kept = pl.scan_parquet(path)
    if workload == "filter":
        kept = kept.filter(pl.col("click") == 1)
    errors, same, values = [], 0, 0
    for name in set(PASSED) & set(kept.collect_schema()):
        raw, ids = _column(kept, name), _column(_output(folder), name)
        if not raw.equals(ids.cast(raw.dtype)):
            errors.append(f"{name}: not the raw column, unchanged and in its order")
    rows = kept.select(pl.len()).collect().item()
    for group in groups(path):
        frequencies = _frequencies(path, group)
        for name in [] if errors else group:
            raw, ids = _column(kept, name), _column(_output(folder), name)
            frame = _side_by_side(raw, ids)
            if frame is None:
                errors.append(f"{name}: {len(ids):,} rows or lists of other lengths")
                continue
            errors += [f"{name}: {error}" for error in _wrong(frame, frequencies)]
            if reference is not None:
                theirs = _flat(_column(_output(reference), name))
                same += int((theirs.cast(frame["id"].dtype) == frame["id"]).sum())
                values += frame.height
    return {"errors": errors, "rows": rows, "same": same / values if values else None}


def _output(folder: Path) -> pl.LazyFrame:
    files = sorted(folder.glob("part_*.parquet"), key=lambda file: int(file.stem.split("_")[1]))
    return pl.concat([pl.scan_parquet(file, glob=False) for file in files])


def _column(frame: pl.LazyFrame, name: str) -> pl.Series:
    return frame.select(name).collect().to_series()


def _flat(column: pl.Series) -> pl.Series:
    return column.explode() if column.dtype.is_nested() else column


def _side_by_side(raw: pl.Series, ids: pl.Series) -> pl.DataFrame | None:
    if raw.dtype.is_nested() and not raw.list.len().equals(ids.list.len()):
        return None
    raw, ids = _flat(raw), _flat(ids)
    return pl.DataFrame({"value": raw, "id": ids}) if len(raw) == len(ids) else None


def _frequencies(path: Path, group: list[str]) -> pl.DataFrame:
    """Return the values of all rows, filtered or not, by falling frequency (``n``)."""
    rows = pl.scan_parquet(path)
    counts = []
    for name in group:
        column = pl.col(name)
        nested = rows.collect_schema()[name].is_nested()
        counts.append(rows.select((column.explode() if nested else column).alias("value")))
    return (
        pl.concat([c.group_by("value").agg(pl.len().cast(pl.Int64).alias("n")) for c in counts])
        .group_by("value")
        .agg(pl.col("n").sum())
        .drop_nulls()
        .sort("n", descending=True)
        .collect()
    )


def _wrong(frame: pl.DataFrame, frequencies: pl.DataFrame) -> list[str]:
    pairs = frame.unique()
    errors = []
    if pairs["value"].n_unique() < pairs.height:
        errors.append("a value has several ids")
    if pairs["id"].n_unique() < pairs.height:
        errors.append("an id stands for several values")
    nulls = pairs.filter(pl.col("value").is_null())
    if nulls.filter(pl.col("id").ne_missing(1)).height:
        errors.append(f"null is {nulls['id'].to_list()}, not 1")
    known = pairs.filter(pl.col("value").is_not_null())
    rank = known["id"].cast(pl.Int64) - _FIRST
    if known.height and not rank.is_between(0, frequencies.height - 1).all():
        return [*errors, "ids outside of the vocabulary's"]
    known = known.with_columns(frequencies["n"].gather(rank).alias("n"))
    if known.join(frequencies, on=["value", "n"], how="semi").height < known.height:
        errors.append("ids do not fall by frequency")
    return errors


def main() -> None:
    workload, path, folder, *reference = sys.argv[1:]
    found = check(workload, Path(path), Path(folder), Path(reference[0]) if reference else None)
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main()
