"""The raw Tianchi download of Ali-CCP: skeleton and common-feature files, parsed lazily."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from towermill.errors import DataError

_SKELETON = {
    "sample": pl.Int64,
    "click": pl.Int8,
    "conversion": pl.Int8,
    "common": pl.String,
    "count": pl.Int64,
    "entries": pl.String,
}
_COMMON = {"common": pl.String, "count": pl.Int64, "entries": pl.String}


def raw_files(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Return split to (skeleton file, common-feature file), as far as they are there.

    They are in the folder itself, or in ``train/`` and ``test/``, or in ``sample_train/`` and
    ``sample_test/``, as the archives unpack.

    Raises
    ------
    DataError
        A skeleton is there without its common features.
    """
    found = {}
    for part in ("train", "test"):
        for place in (folder, folder / part, folder / f"sample_{part}"):
            skeleton = place / f"sample_skeleton_{part}.csv"
            common = place / f"common_features_{part}.csv"
            if skeleton.is_file():
                if not common.is_file():
                    raise DataError(f"`source.path`: {skeleton} is there, but not {common}.")
                found[part] = (skeleton, common)
                break
    return found


def scan_raw(
    skeleton: Path, common: Path, item_fields: Mapping[str, str], user_fields: Mapping[str, str]
) -> pl.LazyFrame:
    """Return one row an exposure, in the skeleton's order: click, conversion and all fields.

    Parameters
    ----------
    skeleton
        Headerless: sample, click, conversion, common-feature index, count, entries; entries are
        separated by \\x01 and each is ``field \\x02 id \\x03 value``.
    common
        Headerless: common-feature index, count, entries.
    item_fields, user_fields
        Field number to column name, for the skeleton and for the common features.

    Notes
    -----
    A field that has several entries gives the one of the largest value, the first of equals. An
    exposure whose common features are missing has null user fields.
    """
    exposures = _scan(skeleton, _SKELETON).select(
        "click", "conversion", "common", *_fields(item_fields)
    )
    users = _scan(common, _COMMON).select("common", *_fields(user_fields))
    joined = exposures.join(users, on="common", how="left", maintain_order="left")
    return joined.drop("common")


def _scan(path: Path, schema: Mapping[str, type[pl.DataType]]) -> pl.LazyFrame:
    return pl.scan_csv(path, has_header=False, quote_char=None, schema=dict(schema), glob=False)


def _fields(fields: Mapping[str, str]) -> list[pl.Expr]:
    return [_strongest(number).alias(name) for number, name in fields.items()]


def _strongest(number: str) -> pl.Expr:
    entries = pl.col("entries").str.extract_all(f"(?:^|\x01){number}\x02[^\x03]*\x03[^\x01]*")
    value = pl.element().str.extract("\x03([^\x01]*)$").cast(pl.Float64, strict=False)
    best = entries.list.eval(value).list.arg_max()
    # Where no value is a number there is no largest one: the first stands.
    entry = entries.list.get(best.fill_null(0), null_on_oob=True)
    return entry.str.extract("\x02([^\x03]*)\x03").cast(pl.Int64)
